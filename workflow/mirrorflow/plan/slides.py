"""Inputs and params of downloads, slides, patches and features."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mirrorflow.config.datasets import address_of
from mirrorflow.config.encoder_table import named_encoder
from mirrorflow.config.mask_settings import segmentation_from
from mirrorflow.config.slide_kinds import declared_kinds, require_declared
from mirrorflow.plan.files import ABSENT, features_state, file_state, given, is_users, marked, states_digest
from mirrorflow.plan.paths import FeatureIndex
from mirrorflow.plan.records import planned
from mirrorflow.plan.run import Run
from mirrorflow.plan.store_paths import FeaturePlan, FeatureStatus, GdcStatus, Ledger, PatchPlan, PatchStatus
from mirrorflow.plan.wildcards import Wildcards, has
from mirrorflow.store.sheet_rows import rows_digest, shard_digest, slide_files, slide_ids, slides_digest

GDC_KEYS = ("projects", "experimental_strategy", "limit", "exclude", "overrides", "endpoint")


@dataclass(frozen=True, eq=False)
class SlideInputs:
    """From a slide's file to its features."""

    run: Run
    _states: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """What was found out already of cohorts: path -> state of the slide files of a user's sheet, a dict a shard."""
    _files: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Likewise slide -> path."""

    # downloads

    def dataset(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: address, size and checksum of a file of a data set."""
        dataset = self.run.config["downloads"][wildcards.dataset]
        url = address_of(dataset["url"], wildcards.file)
        return {"url": url, "size": dataset["size"], "checksum": dataset["checksum"]}

    # gdc

    def _gdc(self, wildcards: Wildcards) -> dict[str, Any]:
        return self.run.cohort(wildcards.cohort)["slides"]["gdc"]

    def overrides(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the user's sheet of what GDC has wrong, if there is one."""
        named = self._gdc(wildcards)["overrides"]
        return marked(named, self.run.store) if named else []

    def given_overrides(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of that sheet."""
        return given(filter(None, [self._gdc(wildcards)["overrides"]]), self.run.store)

    def gdc_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what is asked of GDC, and the kinds of slides that are meant, where others than the strategy's are."""
        asked = {key: self._gdc(wildcards)[key] for key in GDC_KEYS}
        mixed = self.run.cohort(wildcards.cohort)["slides"].get("mixed")
        return asked | ({"mixed": list(mixed)} if mixed else {})

    def hold_kinds(self) -> None:
        """Raise InputError where a sheet that is there mixes kinds of slides that its cohort does not declare."""
        for cohort in self.run.cohorts:
            slides = self.run.cohort(cohort).get("slides")
            if slides and (names := slide_ids(slides["sheet"], slides["columns"])):
                require_declared(names, declared_kinds(slides), f"cohorts.{cohort}: {slides['sheet']}")

    def files(self, wildcards: Wildcards) -> str | list[str]:
        """Input: record of the shard's downloads; nothing for slides that are there already."""
        if "gdc" not in self.run.cohort(wildcards.cohort)["slides"]:
            return []
        return self.run.at(GdcStatus, cohort=wildcards.cohort, step="shards", shard=wildcards.shard)

    def room(self, wildcards: Wildcards) -> str | list[str]:
        """Input: record of the shard that has to be done and deleted before this one is fetched, where slides are
        not kept.
        """
        # Not ancient(): Snakemake 9 then overlooks other reasons why the jobs behind it have to run.
        gdc = self._gdc(wildcards)
        before = int(wildcards.shard) - (gdc["ahead"] or len(self.run.shards))
        if gdc["keep"] or before < 0:
            return []
        return self.run.at(GdcStatus, cohort=wildcards.cohort, step="dropped", shard=before)

    def made_folders(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """Param: folders of what is made from a cohort's slides: patches of each preset, features of each encoder."""
        return {kind: [str(status.files) for status in made] for kind, made in self._made(wildcards.cohort, 0).items()}

    def made(self, wildcards: Wildcards) -> list[str]:
        """Input: status files of all that is made from a shard."""
        made = self._made(wildcards.cohort, int(wildcards.shard))
        return [status.format() for kind in made.values() for status in kind]

    def _made(self, cohort: str, shard: int) -> Mapping[str, list[PatchStatus] | list[FeatureStatus]]:
        run = self.run
        features = [
            FeatureStatus(run.store, cohort, run.patching_of(encoder), encoder, shard)
            for encoder in run.own_encoders(cohort)
        ]
        patches = [PatchStatus(run.store, cohort, patching, shard) for patching in run.patchings(cohort)]
        return {"patches": patches, "features": features}

    # the sheet of slides

    def _has_own_sheet(self, cohort: str) -> bool:
        """Whether the cohort's sheet of slides is the user's own: then its rows count, not its date."""
        return is_users(self.run.cohort(cohort)["slides"]["sheet"], self.run.store)

    def sheet(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the cohort's sheet of slides; one that the workflow itself makes counts by its date. None without
        slides.
        """
        slides = self.run.cohort(wildcards.cohort).get("slides")
        return marked(slides["sheet"], self.run.store) if slides else []

    def columns(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: our names of columns and those of the sheet."""
        return self.run.cohort(wildcards.cohort).get("slides", {}).get("columns", {})

    def rows(self, wildcards: Wildcards) -> str | None:
        """Param: what a user's sheet says, of one shard or all, so that only what its rows change runs again."""
        if not self._has_own_sheet(wildcards.cohort):
            return None
        slides = self.run.cohort(wildcards.cohort)["slides"]
        if has(wildcards, "shard"):
            return shard_digest(slides["sheet"], slides["columns"], int(wildcards.shard), len(self.run.shards))
        return rows_digest(slides["sheet"], slides["columns"])

    # patches

    def given_slides(self, wildcards: Wildcards) -> str | None:
        """Param: state of the slide files of a shard that a user's sheet names: one that was cut is copied again."""
        if not self._has_own_sheet(wildcards.cohort):
            return None
        return states_digest(self._given(wildcards.cohort)[int(wildcards.shard)])

    def sizes(self, cohort: str, shard: int) -> dict[str, int]:
        """Slide -> bytes of its file, of the slides of a shard that are there."""
        states, files = self._given(cohort)[shard], self._files[cohort][shard]
        found = {slide: _bytes(path, states.get(path, ABSENT)) for slide, path in files.items()}
        return {slide: size for slide, size in found.items() if size}

    def slides_digest(self, cohort: str, shard: int = 0, shards: int = 1) -> str | None:
        """What the user's sheet says of the slides of a shard, but for where they lie; None for a sheet of ours."""
        if not self._has_own_sheet(cohort):
            return None
        slides = self.run.cohort(cohort)["slides"]
        return slides_digest(slides["sheet"], slides["columns"], shard, shards)

    def there(self) -> dict[str, list[int]]:
        """Cohort -> how many slide files of a user's sheet are there, a number a shard; where they are read here."""
        run = self.run
        read_here = [cohort for cohort in run.cohorts if run.own_encoders(cohort) and self._has_own_sheet(cohort)]
        return {cohort: [_count_there(states) for states in self._given(cohort)] for cohort in read_here}

    def _given(self, cohort: str) -> list[dict[str, str]]:
        if cohort not in self._states:
            slides = self.run.cohort(cohort)["slides"]
            files = slide_files(slides["sheet"], slides["columns"], len(self.run.shards))
            self._files[cohort] = files
            self._states[cohort] = [given(part.values(), self.run.store) for part in files]
        return self._states[cohort]

    def patch_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what decides masks and patches."""
        slides = self.run.config["slides"]
        return {
            "patch": slides["presets"][wildcards.patching],
            "segmentation": slides["segmentation"],
            "scale": slides["scale"],
        }

    def patch_record(self, cohort: str, patching: str) -> dict[str, Any]:
        """What the patches of a cohort and preset are planned with."""
        slides = self.run.config["slides"]
        mask = {"preset": slides["segmentation"]["preset"], **asdict(segmentation_from(slides["segmentation"]))}
        settings = {"patch": slides["presets"][patching], "segmentation": mask}
        return planned(self.run.at(PatchPlan, cohort=cohort, patching=patching), settings | {"scale": slides["scale"]})

    def planned_patches(self, wildcards: Wildcards, threads: int) -> dict[str, Any]:
        """Param that re-runs nothing: the record that the job leaves."""
        return self.patch_record(wildcards.cohort, wildcards.patching)

    def encoders_seeing(self, wildcards: Wildcards) -> list[str]:
        """Param: encoders of a cohort whose features are made here from this patch preset."""
        own = self.run.own_encoders(wildcards.cohort)
        return [encoder for encoder in own if self.run.patching_of(encoder) == wildcards.patching]

    def feature_statuses(self, wildcards: Wildcards) -> list[str]:
        """Input: status files of the features made from this patch preset."""
        where = {"cohort": wildcards.cohort, "patching": wildcards.patching}
        return [
            self.run.at(FeatureStatus, **where, encoder=encoder, shard=shard)
            for encoder in self.encoders_seeing(wildcards)
            for shard in self.run.shards
        ]

    def ledgers(self) -> list[str]:
        """Ledgers of all cohorts: one for each patch preset its encoders see."""
        run = self.run
        return [
            run.at(Ledger, cohort=cohort, patching=patching)
            for cohort in run.cohorts
            for patching in run.patchings(cohort)
        ]

    # features

    def encoder(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: what decides an encoder's values, its name included; the patch preset is in the path."""
        settings = self.run.config["features"]["encoders"][wildcards.encoder]
        return {"name": wildcards.encoder, **{key: value for key, value in settings.items() if key != "patching"}}

    def feature_record(self, cohort: str, encoder: str) -> dict[str, Any]:
        """What the features of a cohort and encoder are planned with; a seed counts where weights are random.

        A file of weights counts by name and size: the job holds its content against what was made with it. A named
        encoder counts as config/encoders.yaml builds it now.
        """
        settings, patching = dict(self.run.config["features"]["encoders"][encoder]), self.run.patching_of(encoder)
        weights = settings["weights"]
        if weights != "random":
            settings.pop("seed", None)
        if weights != "hub" or settings["model"] != "resnet50":
            settings.pop("weights_set", None)
        if weights not in ("random", "hub"):
            settings["weights"] = f"{Path(weights).name}, {file_state(weights).partition('-')[0]} bytes"
        if (entry := named_encoder(settings["model"])) is not None:
            settings["recipe"] = entry.recipe()
        return planned(self.run.at(FeaturePlan, cohort=cohort, patching=patching, encoder=encoder), settings)

    def planned_features(self, wildcards: Wildcards, threads: int) -> dict[str, Any]:
        """Param that re-runs nothing: the record that the job leaves."""
        return self.feature_record(wildcards.cohort, wildcards.encoder)

    def given_weights(self, wildcards: Wildcards) -> dict[str, str]:
        """Param: state of the file of the encoder's weights, where they come from one."""
        weights = self.run.config["features"]["encoders"][wildcards.encoder]["weights"]
        return {} if weights in ("random", "hub") else {"weights": file_state(weights)}

    def speed(self, wildcards: Wildcards, threads: int) -> dict[str, int]:
        """Param that no value depends on: one that asks for ``threads`` re-runs nothing."""
        return {key: self.run.config["features"][key] for key in ("batch_size", "workers")}

    def shard_statuses(self, wildcards: Wildcards) -> list[str]:
        """Input: status files of the shards when features are made here, patches first; nothing when they were made
        elsewhere.
        """
        run, cohort, encoder = self.run, wildcards.cohort, wildcards.encoder
        if run.is_external(cohort, encoder):
            return []
        where = {"cohort": cohort, "patching": run.patching_of(encoder)}
        patches = [run.at(PatchStatus, **where, shard=shard) for shard in run.shards]
        return patches + [run.at(FeatureStatus, **where, encoder=encoder, shard=shard) for shard in run.shards]

    def feature_folder(self, wildcards: Wildcards) -> str:
        """Param: where the feature files of a cohort and encoder lie."""
        run, cohort, encoder = self.run, wildcards.cohort, wildcards.encoder
        if run.is_external(cohort, encoder):
            return run.cohort(cohort)["features"][encoder]
        return str(FeatureStatus(run.store, cohort, run.patching_of(encoder), encoder, 0).files)

    def given_features(self, wildcards: Wildcards) -> str:
        """Param: state of the feature files made elsewhere that belong to the cohort's slides."""
        return self._features_state(wildcards, dates=True)

    def feature_sizes(self, wildcards: Wildcards) -> str:
        """As :meth:`given_features`, without dates; ``absent`` where no such file is there."""
        return self._features_state(wildcards, dates=False)

    def _features_state(self, wildcards: Wildcards, *, dates: bool) -> str:
        run, cohort, encoder = self.run, wildcards.cohort, wildcards.encoder
        if not run.is_external(cohort, encoder):
            return "made here"
        slides = run.cohort(cohort)["slides"]
        ids = slide_ids(slides["sheet"], slides["columns"]) if self._has_own_sheet(cohort) else None
        return features_state(run.cohort(cohort)["features"][encoder], ids, dates=dates)

    def indexes(self, wildcards: Wildcards) -> list[str]:
        """Input: indexes of the features of a cohort's encoders."""
        encoders = self.run.cohort(wildcards.cohort)["encoders"]
        return [self.run.at(FeatureIndex, cohort=wildcards.cohort, encoder=encoder) for encoder in encoders]


def _count_there(states: Mapping[str, str]) -> int:
    return sum(state != ABSENT for state in states.values())


def _bytes(path: str, state: str) -> int:
    """Of a slide's file, or of the files of its folder; 0 for neither."""
    if state == ABSENT:
        return 0
    size, _, date = state.partition("-")
    return int(size) if date else sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
