"""What stands where on the page: the answer, slides, curves, genes; then tables, patients, protocols, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mirrorflow.config.protocols import SINGLE_CHANGE, scope_of
from mirrorflow.config.schema import load_schema
from mirrorflow.report import attributions, embeddings
from mirrorflow.report.blocks import Section, Text
from mirrorflow.report.cohorts import CohortTables, cohorts_section, folds_section
from mirrorflow.report.further import further_sections
from mirrorflow.report.gene_sets import sets_sections
from mirrorflow.report.genes import genes_section
from mirrorflow.report.head import glance_section
from mirrorflow.report.main_tables import Titles, main_section
from mirrorflow.report.patients import patients_section
from mirrorflow.report.pictures import Drawn, NotDrawn, figures_section, picture, within
from mirrorflow.report.protocols import audits_section, level_counts, protocols_section
from mirrorflow.report.results import results_section
from mirrorflow.report.retrieval import retrieval_section
from mirrorflow.report.slides import slides_section
from mirrorflow.report.summary import Run, chosen, summary_blocks
from mirrorflow.steps.results import report_inputs
from mirrorflow.steps.results.report_files import Inputs, Links
from mirrorflow.steps.results.report_patients import files_of, read_patients

SHOWN = (
    *("forest", "ranks", "cohort_flow", "genes", "explained", "prototypes", "training_curves"),
    *(attributions.KIND, embeddings.KIND),
)
CURVES = {
    "classification": ("classification", "Classifiers at every threshold"),
    "survival": ("survival_curves", "Survival of predicted risk groups"),
    "over-time": ("over_time", "Survival predictions by day"),
}
"""Anchor -> kind of its figures and title: one figure a method."""
NOTHING_EXPLAINED = (
    "No slide was explained in this run. The section explain of the config, or the target explained, makes heatmaps of "
    "what the models saw."
)
SEEN = (
    "Maps of patches of evaluation patients, chosen by a fixed rule. Attention says where the pooling's weight lies, "
    "not why; MIRROR's was learned without labels. Removal says what the answer loses without a group of patches. A "
    "click on a figure opens it by itself; .geojson.gz files open in QuPath."
)


@dataclass(frozen=True)
class Chapters:
    """A run, read as far as several chapters need it."""

    files: Inputs
    config: Mapping[str, Any]
    audits: Sequence[Mapping[str, Any]]
    cohorts: Mapping[str, CohortTables]
    links: Links
    titles: Titles

    @cached_property
    def results(self) -> Any:
        """results.csv as a frame."""
        return report_inputs.read_results(self.files.results)

    @cached_property
    def figures(self) -> tuple[list[Drawn], list[NotDrawn]]:
        """All figures, and what could not be drawn."""
        drawn, left_out = report_inputs.read_figures(self.files.figures, self.links)
        return within(drawn, self.ahead), left_out

    @cached_property
    def ahead(self) -> dict[str, list[str]]:
        """Cohort -> ends of the names of the figures that are shown first."""
        protocol = next(iter(self.asked.asked), "")
        return {cohort: [f"_{protocol}_{name}" for name in names] for cohort, names in chosen(self.asked).items()}

    @property
    def protocols(self) -> dict[str, Any]:
        """Protocols less those that differ from the base in a single published choice."""
        return {name: keys for name, keys in self.config["protocols"].items() if not name.startswith(SINGLE_CHANGE)}

    @cached_property
    def asked(self) -> Run:
        """What the summary is made of."""
        cohorts = self.config["cohorts"]
        return Run(
            self.results,
            self.titles.methods,
            {name: self.titles.cohorts.get(name, name) for name in cohorts},
            {name: bool(keys["claims_honest"]) for name, keys in self.protocols.items()},
            self.sizes,
            self.audits,
            frozenset(name for name, entry in cohorts.items() if entry["simulated"]),
        )

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Cohort -> patients, slides."""
        return {name: size_of(tables) for name, tables in self.cohorts.items()}

    @cached_property
    def levels(self) -> dict[str, dict[str, int]]:
        """Protocol -> findings by level."""
        names = self.config["protocols"]
        return {name: level_counts([one for one in self.audits if one["protocol"] == name]) for name in names}

    @cached_property
    def scopes(self) -> dict[str, str]:
        """Protocol -> model scope."""
        return {name: scope_of(protocol) for name, protocol in self.config["protocols"].items()}

    @property
    def used_by(self) -> dict[str, list[str]]:
        """Model scope -> protocols."""
        return {scope: [name for name in self.scopes if self.scopes[name] == scope] for scope in self.scopes.values()}

    # chapters

    def all(self, *provenance: Section) -> list[Section]:
        """Every chapter in the page's order."""
        return [
            self._summary(),
            self._seen(),
            self._curves(),
            self._genes(),
            self._tables(),
            self._people(),
            self._rules(),
            Section("provenance", "Provenance", parts=[folded(one) for one in provenance]),
        ]

    def _summary(self) -> Section:
        glance = glance_section(self.config, self.sizes, self.audits)
        files = self.links.to(self.files.results, *self.files.main_tables)
        return Section("summary", "Summary", summary_blocks(self.asked), [glance], files=files)

    def _figures(self, anchor: str, title: str, kind: str, **more: Any) -> Section:
        return figures_section(anchor, title, kind, *self.figures, **more)

    def _seen(self) -> Section:
        drawn, left_out = self.figures
        kinds = {one.kind for one in drawn} | {one.kind for one in left_out}
        explained = self._figures("explained", "What the models saw on slides", "explained", none=NOTHING_EXPLAINED)
        parts = [explained]
        if "prototypes" in kinds:
            parts.append(self._figures("prototypes", "Prototypes of TTA", "prototypes"))
        return Section("seen", "Slides", [Text(SEEN)] if "explained" in kinds else [], parts)

    def _curves(self) -> Section:
        curves = [self._figures(anchor, title, kind, first=self.ahead) for anchor, (kind, title) in CURVES.items()]
        known = {*SHOWN, *(kind for kind, _ in CURVES.values())}
        others = dict.fromkeys(one.kind for one in self.figures[0] if one.kind not in known)
        more = [self._figures(f"more-{kind}", kind.replace("_", " ").capitalize(), kind) for kind in others]
        text = (
            "Curves of the methods ahead and of the reference come first, all others are behind a fold. A click on a "
            "figure opens it by itself; the values lie beside it as CSV."
        )
        parts = [
            self._figures("forest", "Methods side by side", "forest"),
            *curves,
            folded(self._figures("ranks", "Ranks within folds", "ranks")),
            folded(self._figures("training", "Training curves", "training_curves")),
            *more,
        ]
        return Section("curves", "Curves", [Text(text)], parts)

    def _genes(self) -> Section:
        table = genes_section(report_inputs.read_genes(self.files.genes), self.used_by)
        counts = report_inputs.read_set_counts(self.files.gene_sets, self.files.expressions)
        checks = retrieval_section(report_inputs.read_retrieval(self.files.models))
        parts = [
            *attributions.attributions_sections(self.files.figures, *self.figures),
            *embeddings.embeddings_sections(*self.figures),
            replace(table, title="How genes were chosen", files=self.links.to(*self.files.genes)),
            *map(folded, sets_sections(counts)),
            self._figures("expression", "Expression of the selected genes", "genes"),
            folded(checks, "retrieval across modalities, beside chance"),
        ]
        return Section("signatures", "Genes and maps", parts=parts)

    def _tables(self) -> Section:
        tables = report_inputs.read_main_tables(self.files.main_tables)
        further = further_sections(report_inputs.read_further_tables(self.files.further_tables))
        main = main_section(tables, self.results, self.levels, self.audits, self.titles)
        rows = results_section(self.results, self.titles.methods)
        parts = [
            folded(main, "methods down, cohorts across", self.links.to(*self.files.main_tables)),
            *(folded(one, "", self.links.to(*self.files.further_tables)) for one in further),
            folded(rows, f"{len(self.results)} rows: sort and filter", self.links.to(self.files.results)),
        ]
        return Section("numbers", "Tables", parts=parts)

    def _people(self) -> Section:
        flows = {one.cohort: [picture(one)] for one in self.figures[0] if one.kind == "cohort_flow"}
        beside = [path.with_suffix(end) for path in self.files.cohorts for end in (".flow.tsv", ".dropped.tsv")]
        folds = folds_section(report_inputs.read_summaries(self.files.summaries), self.used_by)
        ledgers = slides_section(report_inputs.read_ledgers(self.files.ledgers))
        parts = [
            self._patients(),
            folded(cohorts_section(self.cohorts, flows), "", self.links.to(*beside)),
            folded(folds, "patients, classes and events of each", self.links.to(*self.files.summaries)),
            folded(replace(ledgers, title="Ledger of slides"), "which were read, which were not, and why"),
        ]
        return Section("people", "Patients", parts=parts)

    def _patients(self) -> Section:
        protocol = next(iter(self.asked.asked), "")
        ahead, files = chosen(self.asked), (self.files.predictions, self.files.figures)
        overlays = report_inputs.overlays_of(self.files.ledgers)
        section = patients_section(read_patients(self.cohorts, ahead, protocol, *files, overlays), self.titles.methods)
        return replace(section, files=self.links.to(*files_of(ahead, protocol, *files)))

    def _rules(self) -> Section:
        audits = self.links.to(*(path.with_suffix(end) for path in self.files.audits for end in (".json", ".md")))
        protocols = protocols_section(self.protocols, key_descriptions(), self.scopes)
        leaks = sum(one["leaks"] for one in self.audits)
        parts = [
            folded(audits_section(self.audits), f"{len(self.audits)} audits, {leaks} leaks", audits),
            folded(protocols, "key by key"),
        ]
        return Section("rules", "Protocols and audits", parts=parts)


def folded(section: Section, about: str = "", files: Sequence[str] = ()) -> Section:
    """The section behind a line that opens it."""
    return replace(section, folded=True, about=about or section.about, files=files or section.files)


def size_of(tables: CohortTables) -> tuple[int, int]:
    """Patients and slides of a cohort."""
    return len(tables.frame), int(tables.frame["slide_ids"].map(len).sum())


def key_descriptions() -> dict[str, str]:
    """Key of a protocol -> what the schema says of it."""
    keys = load_schema()["properties"]["protocols"]["additionalProperties"]["properties"]
    return {name: entry.get("description", "") for name, entry in keys.items()}
