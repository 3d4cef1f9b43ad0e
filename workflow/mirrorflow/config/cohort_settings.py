"""Sections of the config about cohorts: where slides, patients and expression are, simulated cohorts, downloads."""

from collections.abc import Mapping
from typing import Any, ClassVar

from mirrorflow.config.fields import (
    NAME,
    PATH,
    Section,
    choice,
    count,
    count_or_none,
    many,
    name,
    named,
    newer,
    path,
    positive,
    section,
    setting,
    shared,
    stated,
    switch,
    text,
    whole,
)
from mirrorflow.config.modalities import AVAILABLE, COMMON
from mirrorflow.config.saw import COLLECTIONS

WEB = "^https?://"


@stated
class Download(Section):
    """A data set."""

    download: str = text("Its name in resources/sources.tsv or `downloads`.", required=True)


@stated
class Simulation(Section):
    """One simulated cohort."""

    patients: int = count("Patients with slides.", 90)  # a few more have RNA only
    seed: int = whole("Everything about the cohort follows from it.", 7)
    slide_width_um: float = positive("Width of a slide in micrometres.", 1400)
    slide_height_um: float = positive("Height of a slide in micrometres.", 1000)
    transcripts: int = count("Rows of the expression matrix.", 2000)
    site_count: int = count("Tissue source sites.", 8)


@stated
class Dataset(Section):
    """One data set."""

    url: str = text(
        "Where it is fetched from; {file} stands for the name of each file where there are several (folds), {fold} and "
        "{part} for the number and train or test where folds have a sheet a side.",
        pattern=WEB,
    )
    size: int = count("Bytes of the file; another size is refused.")
    checksum: str = text(
        "md5:<digits> or sha256:<digits> of the file. Without one the first download pins what it found.",
        pattern="^(md5|sha256):[0-9a-f]+$",
    )


@stated
class Gdc(Section):
    """Open slides of TCGA projects, listed and downloaded from GDC to {store}/gdc/<cohort>/ (resumed, md5 checked).
    A token, where one is needed, comes from the environment variable GDC_TOKEN.
    """

    projects: list[str] = many(
        "Projects as GDC names them, e.g. TCGA-COAD, TCGA-READ.",
        {"type": "string", "minLength": 1},
        required=True,
        minItems=1,
        uniqueItems=True,
    )
    experimental_strategy: str = choice(
        "Diagnostic (FFPE, DX) or frozen tissue slides.", ["Diagnostic Slide", "Tissue Slide"], "Diagnostic Slide"
    )
    keep: bool = switch(
        "false: a shard's slides are deleted once all encoders of this run have their features. Not for a store in "
        "which two runs work at the same time.",
        True,
    )
    ahead: int | None = count_or_none(
        "With `keep: false`, shards whose slides may lie on the disk at a time (raise slides.shards to make them "
        "smaller); null - no limit.",
        2,
    )
    limit: int | None = count_or_none("The first so many slides only, by slide id; null - all.", None)
    exclude: list[str] = many("Slide ids or GDC file ids to leave out.", {"type": "string"}, [])
    overrides: str | None = setting(
        "TSV with slide_id and further columns for the sheet - mpp, segmentation.*.",
        None,
        anyOf=[PATH, {"type": "null"}],
    )
    endpoint: str = text(
        "GDC's address, or that of a mirror that speaks the same.", "https://api.gdc.cancer.gov", pattern=WEB
    )


@stated
class CohortSlides(Section):
    """The slides - a sheet of one's own (slide_id, patient, path; optional mpp and overrides), or TCGA's from GDC."""

    RULES: ClassVar[Mapping[str, Any]] = {"oneOf": [{"required": ["sheet"]}, {"required": ["gdc"]}]}

    sheet: str = path()
    columns: dict[str, str] = shared("columns", default={})
    mixed: list[str] = newer(
        "Kinds of slides that are meant to stand beside paraffin sections of primary tumours, by TCGA's codes: frozen "
        "sections (TS, BS, MS), samples (02 recurrent, 06 metastasis, 11 normal). check and run refuse others "
        "that they find in the names.",
        [],
        type="array",
        items={"type": "string", "pattern": "^(TS|BS|MS|[0-9]{2})$"},
        uniqueItems=True,
    )
    gdc: Gdc = section(Gdc, unset=True)


ONE_OR_SEVERAL = {"minItems": 1, "uniqueItems": True}


@stated
class ClinicalDownload(Section):
    """Xena's tables by the names of data sets (resources/sources.tsv, `downloads`); what is not named here is given by
    its path above.
    """

    RULES: ClassVar[Mapping[str, Any]] = {"minProperties": 1}

    survival: str = text("Data set of the survival table.")
    matrix: str | list[str] = setting(
        "Data set of the clinicalMatrix, or several that make one cohort.",
        anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}, **ONE_OR_SEVERAL}],
    )


@stated
class CauseSpecific(Section):
    """The outcome counts deaths of one cause (disease-specific survival): others censor it and compete with it. Tables,
    report and captions say so; deaths whose cause nobody knows are counted and bounded, not guessed.
    """

    name: str = text(
        "What it is called, such as DSS; by default Xena's outcome.", pattern="^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$"
    )
    time: str = text(
        "Column of the sheet: time to death of any cause, in `time_unit`; left out where `columns` has start and end, "
        "which hold for every death. Xena's is OS.time."
    )
    event: str = text("Column of the sheet: 1 if dead, whatever the cause, 0 if not. Xena's is OS.")


@stated
class Clinical(Section):
    """Labels and outcomes - a sheet of one's own, or Xena's tables."""

    RULES: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"required": ["sheet"]}, {"required": ["survival", "matrix"]}, {"required": ["download"]}]
    }

    sheet: str = path(
        "patients.tsv (or CSV, Excel): patient; label, time, event, site, further columns. An empty cell, NA, Not "
        "Reported, '-- and their like (mirrorflow/config/unknown.py) are unknown, never a class or a site: counted in "
        "the log, and "
        "listed among the dropped."
    )
    columns: dict[str, str] = shared("columns", default={})
    time_unit: str = choice("Unit of the sheet's `time`.", ["days", "months", "years"], "days")
    dates: str = newer(
        "Where `columns` names dates (start and end of follow-up) instead of a time: how 01.02.2020 is meant. "
        "by_their_values: as dates of these columns tell of which one number is above 12; refused where none does.",
        "by_their_values",
        enum=["by_their_values", "day_first", "month_first"],
    )
    event_words: dict[str, int] = newer(
        "Words of the sheet's `event` and what they mean, 1 or 0. Without it yes, no, true, false, alive, living, "
        "dead, deceased, died and censored are understood, and cBioPortal's 0:LIVING. A column named after censoring "
        "or life (os_censorship, alive) needs it for 0, 1, yes and no; none or - count where it names them.",
        {},
        type="object",
        additionalProperties={"enum": [0, 1]},
    )
    survival: str = path("Xena's survival table (sample, _PATIENT, OS, OS.time, ... in days).")
    matrix: str | list[str] = setting(
        "Xena's clinicalMatrix (sampleID, _PATIENT, ...), or several that make one cohort.",
        anyOf=[PATH, {"type": "array", "items": PATH, **ONE_OR_SEVERAL}],
    )
    download: ClinicalDownload = section(ClinicalDownload, unset=True)
    label: str = text("Column of the clinicalMatrix with the subtype.", "histological_type")
    outcome: str = choice("Which outcome of the survival table.", ["OS", "DSS", "DFI", "PFI"], "OS")
    cause_specific: CauseSpecific = section(CauseSpecific, unset=True)


@stated
class Cohort(Section):
    """One cohort - where its slides, patients and expression are."""

    title: str = text("Name shown in tables; by default the published label from resources/names.tsv, else the name.")
    simulated: bool = switch(
        "Simulated data; the report says so at its head and nothing is compared with a paper.", False
    )
    slides: CohortSlides = section(CohortSlides, unset=True)
    clinical: Clinical = section(Clinical, required=True)
    clinical_source: str = choice(
        "Where the clinical tables came from, for comparisons with published tables (MIRROR's outcomes and BRCA's "
        "subtypes are cBioPortal exports); by default xena for Xena's tables, unknown for a sheet of one's own.",
        ["xena", "cbioportal", "other"],
    )
    classes: dict[str, str] = setting(
        "Label as the sheet writes it -> class name, in the order of the tables. Labels not named here count as "
        "unlabelled. Empty - every label is a class of its own. The order decides which class loses samples where a "
        "protocol replays the published loss (`evaluate_all: false`): evaluation units stand class by class, "
        "unlabelled ones first, and the last incomplete batch of 16 is left out.",
        {},
        type="object",
        additionalProperties=NAME,
    )
    site: str = choice(
        "Tissue source site: characters 6-7 of the barcode, the sheet's column `site`, or unknown.",
        ["barcode", "column", "none"],
        "barcode",
    )
    collection: str = choice(
        "Public collection that the patients are of, which encoders may have been trained on; none - no public one. By "
        "default told patient by patient from names (TCGA-XX-XXXX, C3L-00000 and C3N-00000, GTEX-...); a simulated "
        "cohort is of none.",
        [*COLLECTIONS, "none"],
    )
    institutions: str = path(
        "Sheet with the columns site and institution, or the word tcga for the one in resources/tcga_sites.tsv: folds "
        "and audits then go by institution, since two codes can be one hospital. A code it does not name stays a site "
        "of its own."
    )
    expression: str = name(
        "A source of expression.sources. A cohort without it is one of slides alone, as one without `slides` is one of "
        "RNA alone: methods that see what is not there are left out, and check, tables and report say so."
    )
    train_on: str = newer(
        "Of a cohort with slides and expression. common: the patients who have both are trained on and evaluated, the "
        "same for every method. available: each method takes the patients who have what it sees; verdicts are given on "
        "those that both methods of a comparison have, k-shot sets are drawn of those who have both.",
        COMMON,
        enum=[COMMON, AVAILABLE],
    )
    census: str = path(
        "COSMIC Cancer Gene Census (old CSV or new TSV) or a list of gene symbols; without it the open list in "
        "resources/drivers.tsv is used, and the run says so."
    )
    tumour_types: list[str] = many(
        "Tumour types of the census that count for this cohort, by how a word of them begins (renal is not adrenal); "
        "empty - all.",
        {"type": "string"},
        [],
    )
    encoders: list[str] = many(
        "Encoders of the cohort's features, from features.encoders or from `features` below; needed with `slides`.",
        NAME,
        [],
        uniqueItems=True,
    )
    features: dict[str, str] = setting(
        "Encoder name -> folder of feature files <slide_id>.h5 made elsewhere; read where they lie.",
        {},
        type="object",
        propertyNames=NAME,
        additionalProperties=PATH,
    )
    splits: dict[str, Any] = setting(
        "Name -> folder of split files splits_<k>.csv (columns train, val and, where there is one, test: see "
        "splits.evaluate), or a path with {fold} and {part} (train and test: a sheet a side with the column case_id or "
        "patient, as MMP's), or {download: <data set>}. `published` is what the preset `paper` asks for; a protocol "
        "with `splits: published-repaired` takes its folds repaired.",
        {},
        type="object",
        propertyNames=NAME,
        additionalProperties={"anyOf": [PATH, {"$ref": "#/$defs/download"}]},
    )


SIMULATE = named(
    Simulation, "Simulated cohorts, written to {store}/simulated/<name>/ in the formats of the real sources.", {}
)
DOWNLOADS = named(
    Dataset,
    "Data sets that are fetched by name, to {store}/downloads/<name>/. Those in resources/sources.tsv need no entry; "
    "one here changes their address or adds a checksum, or names another set.",
    {},
    propertyNames={"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
)
COHORTS = named(Cohort, "The cohorts of this run, by name.", required=True, minProperties=1)
