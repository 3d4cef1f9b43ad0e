"""One cohort before anything is computed: its sheets read, held against each other, and joined as a run would."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.among_genes import clinical_columns
from mirrorflow.cohorts.assembly import assemble
from mirrorflow.cohorts.follow_up import follow_up_line
from mirrorflow.cohorts.meeting import meeting
from mirrorflow.cohorts.patients import barcode_sites, name_classes
from mirrorflow.cohorts.site_codes import differing_codes, sites_in_two_cases, unnamed_codes
from mirrorflow.commands.checking.columns import column_lines
from mirrorflow.commands.checking.expression import clinical_lines, matrix_of, unlabelled_line, value_lines
from mirrorflow.commands.checking.features import look_into_files
from mirrorflow.commands.checking.folds import class_lines, drawn_lines, scarce_line
from mirrorflow.commands.checking.pending import pending
from mirrorflow.commands.checking.splits import split_lines
from mirrorflow.config.modalities import COMMON, has_rna
from mirrorflow.config.slide_kinds import COLUMNS, column_kinds, declared_kinds, mixed_kinds
from mirrorflow.errors import MirrorflowError
from mirrorflow.expression.samples import choose_samples
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet, left_aside, matrices
from mirrorflow.steps.expression.matrix_look import MatrixLook
from mirrorflow.store.other_features import import_hint
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet, slide_sheet_said
from mirrorflow.store.tables import read_institutions, read_users_sheet


class CohortLook:
    """What fits of a cohort, line by line; what does not begins with PROBLEM, what a run would take all the same with
    WARNING. ``frame``: who would be in it, once all lines were asked for; None where that cannot be told.

    most_values: of a matrix that are read; into_features: whether files of features are opened. Names are compared
    across sheets only where all of them could be read.
    """

    def __init__(
        self, config: Mapping[str, Any], entry: Mapping[str, Any], most_values: float, *, into_features: bool = True
    ) -> None:
        self.config, self.entry, self.most_values, self.into_features = config, entry, most_values, into_features
        self.rows: list[SlideRow] | None = None
        self.clinical: pd.DataFrame | None = None
        self.rna: list[str] | None = None
        self.frame: pd.DataFrame | None = None
        self._there: dict[str, set[str]] = {}

    @property
    def patients(self) -> set[str] | None:
        """Those of the clinical tables; None where they cannot be read."""
        return None if self.clinical is None else set(self.clinical["patient"])

    def lines(self) -> Iterator[str]:
        """All lines, from the slides to who would be in the cohort."""
        slides = self.entry.get("slides")
        if slides and "gdc" in slides and not Path(slides["sheet"]).exists():
            yield f"slides of {', '.join(slides['gdc']['projects'])} are listed by GDC at the first run"
            return
        yield from self._slides()
        if pending := list(self._pending()):
            yield from pending
            yield "clinical data and expression are checked once they are there"
            return
        yield from self._clinical()
        yield from self._expression()
        yield from self._joined()
        yield from split_lines(self.config, self.entry, self.patients, self.frame)

    # slides

    def _slides(self) -> Iterator[str]:
        slides = self.entry.get("slides")
        if not slides:
            return
        try:
            self.rows = read_slide_sheet(slides["sheet"], slides["columns"])
            sheet, _, _ = read_users_sheet(slides["sheet"])
        except MirrorflowError as error:
            yield f"PROBLEM: {error}"
            return
        yield f"{len(self.rows)} slides of {len({row.patient for row in self.rows})} patients in {slides['sheet']}"
        names = [row.slide_id for row in self.rows]
        yield from (f"PROBLEM: {said}" for said in mixed_kinds(names, declared_kinds(slides)))
        yield from slide_sheet_said(slides["sheet"], slides["columns"])
        yield from column_kinds({name: sheet[name].tolist() for name in COLUMNS if name in sheet})
        yield from self._files(self.rows)

    def _files(self, rows: list[SlideRow]) -> Iterator[str]:
        for encoder in self.entry["encoders"]:
            if encoder not in self.entry["features"] and "gdc" in self.entry["slides"]:
                self._there[encoder] = {row.slide_id for row in rows}
                continue
            if encoder in self.entry["features"]:
                folder = Path(self.entry["features"][encoder])
                missing = [row.slide_id for row in rows if not (folder / f"{row.slide_id}.h5").exists()]
                what = f"feature files in {folder}"
            else:
                missing = [row.slide_id for row in rows if row.path is None or not row.path.exists()]
                what = f"slide files (for {encoder})"
            self._there[encoder] = {row.slide_id for row in rows} - set(missing)
            word = "PROBLEM: none of the" if rows and len(missing) == len(rows) else f"{len(rows) - len(missing)} of"
            hint = import_hint(folder) if encoder in self.entry["features"] and len(missing) == len(rows) else ""
            yield f"{word} {len(rows)} {what}" + (f"; missing e.g. {', '.join(missing[:3])}{hint}" if missing else "")
            if encoder in self.entry["features"] and missing:
                stems = [path.stem for path in folder.glob("*.h5")] if folder.is_dir() else []
                yield from _meeting_line(missing, stems, ("the sheet of slides", "the feature files")) if stems else ()
            if encoder in self.entry["features"] and self.into_features:
                seen = look_into_files(folder, self._there[encoder])
                self._there[encoder] -= seen.left_out
                yield from seen.lines()

    # clinical tables

    def _pending(self) -> Iterator[str]:
        source = self._source
        yield from pending(
            self.config, [*matrices(self.entry["clinical"]), *self.entry["clinical"].values(), *source.values()]
        )

    def _clinical(self) -> Iterator[str]:
        try:
            converted: list[str] = []
            self.clinical = clinical_sheet(self.entry["clinical"], converted)
            yield from converted
            yield from _outcome_lines(self.clinical, self.entry)
            yield from _site_lines(self.clinical, self.entry)
            yield from column_lines(self.config, self.clinical)
            if self.rows is not None:
                yield from scarce_line(self.config, self._with_classes({row.patient for row in self.rows}))
        except MirrorflowError as error:
            yield f"PROBLEM: {error}"
            return
        if self.rows is not None:
            names = [row.patient for row in self.rows]
            yield from _meeting_line(names, self.patients or (), ("the sheet of slides", "the clinical data"))

    def _with_classes(self, patients: set[str] | None = None) -> pd.DataFrame:
        """The clinical data with classes and sites as a run has them, of these patients (all of them when None)."""
        assert self.clinical is not None
        frame, entry = self.clinical, self.entry
        names = read_institutions(entry["institutions"]) if entry.get("institutions") else {}
        label = frame["label"].map(entry["classes"]).fillna("") if entry["classes"] else frame["label"]
        sites = sites_of(frame, entry).map(lambda site: names.get(site, site))
        frame = frame.assign(label=label, site=sites)
        return frame if patients is None else frame[frame["patient"].isin(list(patients))]

    # expression

    @property
    def _source(self) -> Mapping[str, Any]:
        return self.config["expression"]["sources"][self.entry["expression"]] if has_rna(self.entry) else {}

    def _expression(self) -> Iterator[str]:
        source = self._source
        if not source:
            return
        columns = self.entry["clinical"].get("columns", {})
        names = () if self.clinical is None else clinical_columns(self.clinical, columns)
        try:
            look = matrix_of(source, self.most_values, names)
        except MirrorflowError as error:
            yield f"PROBLEM: {error}"
            return
        of_all = "" if look.whole else " (the first; preflight looks at all)"
        yield f"{len(look.patients)} patients in {source['matrix']}, values of {look.genes} genes can be used{of_all}"
        yield from value_lines(self.entry["expression"], source, look)
        yield from clinical_lines(self.clinical, columns, look, source["matrix"])
        yield from self._shared(look)

    def _shared(self, look: MatrixLook) -> Iterator[str]:
        with_slides = "slides" in self.entry
        what = "slides, clinical data and expression" if with_slides else "clinical data and expression"
        if (with_slides and self.rows is None) or self.patients is None:
            yield f"who has {what} is told once their sheets can be read"
            return
        source = self._source
        try:
            known = sorted(self.patients)
            chosen = choose_samples(
                look.samples, sample_ids=source["sample_ids"], patients=known, where=source["matrix"]
            )
            self.rna = chosen.patients
        except MirrorflowError:
            self.rna = []
        shared = set(self.rna) & self.patients & ({row.patient for row in self.rows} if self.rows else self.patients)
        word = "" if shared else "PROBLEM: "
        named = f"{len(look.patients)} in {source['matrix']}"
        yield f"{word}{len(shared)} patients have {what} ({named})"
        there = self.rna or look.patients or look.samples
        yield from _meeting_line(self.patients, there, ("the clinical data", "the matrix"))

    # the cohort as a run would build it

    def _joined(self) -> Iterator[str]:
        if self.clinical is None or (self.rows is None and "slides" in self.entry):
            return
        if has_rna(self.entry) and not self.rna:
            return
        rna = self.rna if has_rna(self.entry) else None
        train_on = self.entry.get("train_on", COMMON)
        try:
            named = name_classes(self._with_classes(), {}, "column") if len(self.clinical) else self.clinical
            self.frame, flow = assemble(named, self._indexes(), rna, "the cohort", None, train_on)
        except MirrorflowError as error:
            yield f"PROBLEM: {error}"
            return
        yield "who would be in: " + "; ".join(f"{step['patients']} {step['step']}" for step in flow.steps)
        if said := follow_up_line(self.frame):
            yield said
        yield from unlabelled_line(self.config, self.entry, self.frame)
        yield from class_lines(self.frame, self.config["splits"]["folds"], self.config["evaluation"]["shots"])
        yield from drawn_lines(self.config, self.frame, "the cohort")

    def _indexes(self) -> dict[str, pd.DataFrame]:
        """What an index of each encoder would say, by the files that are there."""
        rows = self.rows or []
        return {
            encoder: pd.DataFrame(
                [
                    (row.slide_id, row.patient, "ok" if row.slide_id in there else "missing", "not there")
                    for row in rows
                ],
                columns=["slide_id", "patient", "status", "reason"],
            )
            for encoder, there in self._there.items()
        }


def _meeting_line(ours: Any, theirs: Any, sides: tuple[str, str]) -> Iterator[str]:
    said = meeting(ours, theirs, sides)
    if said:
        word = "PROBLEM: " if said.startswith("0 names") else "WARNING: " if "would meet" in said else ""
        yield f"{word}{sides[0]} and {sides[1]}: {said}"


def _outcome_lines(clinical: pd.DataFrame, entry: Mapping[str, Any]) -> Iterator[str]:
    labels = clinical.loc[clinical["label"] != "", "label"].value_counts()
    followed = clinical["time_days"].notna() & clinical["event"].notna()
    events = int(clinical.loc[followed, "event"].sum())
    yield f"{len(clinical)} patients with clinical data; outcome known of {int(followed.sum())}, {events} events"
    known = set(entry["classes"]) or set(labels.index)
    yield "labels: " + (", ".join(f"{name} {count}" for name, count in labels.items()) or "none: subtyping is left out")
    if unknown := [name for name in entry["classes"] if name not in labels.index]:
        yield f"PROBLEM: classes names labels that nobody has: {', '.join(unknown)}"
    if ignored := [str(name) for name in labels.index if name not in known]:
        yield f"labels not in `classes` count as unlabelled: {', '.join(ignored)}"


def _site_lines(clinical: pd.DataFrame, entry: Mapping[str, Any]) -> Iterator[str]:
    """Who is left aside for want of a primary tumour; sites that are not the barcodes', and sites written two ways."""
    if aside := left_aside(entry["clinical"]):
        types = "; ".join(f"{count} with {name}" for name, count in sorted(Counter(aside.values()).items()))
        yield f"{len(aside)} patients have no sample of a primary tumour and are left out: {types}"
    if entry["site"] == "column" and (differ := differing_codes(clinical)):
        yield differ
    named, sites = entry.get("institutions"), sites_of(clinical, entry)
    institutions = read_institutions(named) if named else {}
    if lost := unnamed_codes(sites, institutions):
        yield f"{named}: {lost}"
    where = ", ".join(filter(None, (entry["clinical"].get("sheet"), named)))
    yield from (f"PROBLEM: {where}: {said}" for said in sites_in_two_cases(sites, institutions))


def sites_of(clinical: pd.DataFrame, entry: Mapping[str, Any]) -> pd.Series:
    """Site of each patient as the config asks for it."""
    if entry["site"] == "barcode":
        return barcode_sites(clinical["patient"])
    return clinical["site"] if entry["site"] == "column" else clinical["site"].map(lambda _: "")
