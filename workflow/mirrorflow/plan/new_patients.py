"""Inputs and params of rule predict_patients."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.files import file_state, given, states_digest
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards
from mirrorflow.store.sheet_rows import slide_files

FILES = ("slides", "features", "expression", "sheet", "weights")


@dataclass(frozen=True, order=True)
class NewPatientsPage(ContractPath):
    """What was predicted of new patients, in words; the tables lie beside it."""

    patients: str
    TEMPLATE = "new_patients/{patients}/about.md"


def new_patients_pages(run: Run) -> list[str]:
    """A page an entry of the section."""
    return [run.at(NewPatientsPage, patients=name) for name in run.config["new_patients"]]


@dataclass(frozen=True, eq=False)
class NewPatientsInputs:
    """Entries of the section ``new_patients``."""

    run: Run

    def _entry(self, wildcards: Wildcards) -> dict[str, Any]:
        return self.run.config["new_patients"][wildcards.patients]

    def manifests(self, wildcards: Wildcards) -> list[str]:
        """Input: manifests of the methods that may be asked."""
        entry = self._entry(wildcards)
        return [
            path
            for protocol, cohort in self.run.evaluated()
            if entry.get("protocol", protocol) == protocol and entry.get("cohort", cohort) == cohort
            for path in self.run.manifests(protocol, cohort)
        ]

    def results(self, wildcards: Wildcards) -> str:
        """Param: folder of the run whose models are asked."""
        return self.run.results

    def entry(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: the entry."""
        return dict(self._entry(wildcards))

    def given(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: states of the files of the new patients, and of the slides that their sheet names."""
        entry = self._entry(wildcards)
        states = {key: file_state(entry[key]) for key in FILES if entry.get(key)}
        if "slides" in states:
            (named,) = slide_files(entry["slides"], {}, 1)
            states["slide_files"] = states_digest(given(named.values(), self.run.store))
        return states
