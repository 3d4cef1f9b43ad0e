"""A config that has every kind of cohort, and the small files it names: what the table of re-runs is made on."""

from pathlib import Path
from typing import Any

import yaml

EXAMPLE = """
run: example
simulate: {planted: {}}
cohorts:
  own: # slides, sheets and folds of one's own
    title: Own
    slides: {sheet: slides.tsv, columns: {patient: case}}
    clinical:
      sheet: patients.tsv
      columns: {label: subtype}
      cause_specific: {name: DSS, time: all_time, event: all_event}
    classes: {Alpha: alpha, Beta: beta}
    expression: first
    census: census.csv
    encoders: [resnet50]
    splits: {published: folds}
  elsewhere: # features made elsewhere
    slides: {sheet: slides.tsv}
    clinical: {sheet: patients.tsv}
    expression: first
    encoders: [resnet50, phikon]
    features: {resnet50: elsewhere/first, phikon: elsewhere/second}
    splits: {published: folds}
  listed: # slides from GDC, tables and expression from Xena
    slides: {gdc: {projects: [TCGA-KICH], keep: false}}
    clinical: {download: {survival: Survival_SupplementalTable_S1_20171025_xena_sp, matrix: KICH_clinicalMatrix}}
    expression: toil
    encoders: [resnet50]
    splits: {published: folds}
  planted: # simulated, in the formats of Xena
    simulated: true
    slides: {sheet: "{store}/simulated/planted/slides.tsv"}
    clinical:
      survival: "{store}/simulated/planted/clinical/survival.tsv"
      matrix: "{store}/simulated/planted/clinical/clinical_matrix.tsv"
    expression: first
    encoders: [resnet50, phikon]
    splits: {published: folds}
slides: {presets: {256px-20x: {size_px: 256}, 512px-20x: {size_px: 512}}}
features:
  encoders:
    resnet50: {model: resnet50, weights: hub}
    phikon: {model: phikon, weights: hub}
expression:
  sources:
    first: {matrix: expression.tsv, probemap: probes.tsv}
    second: {matrix: expression.tsv}
    toil: {download: tcga_RSEM_isoform_fpkm}
  selection: {gene_sets: sets.csv}
splits: {folds: 2, inner_folds: 2}
protocols:
  honest: {epoch: nested}
  paper: {splits: published}
methods: {linear: {}, cox: {}, clinical: {}, survpath: {}, tta: {}, mirror: {}, tangle: {}}
adaptation:
  planted: {targets: [elsewhere]}
new_patients:
  arrivals: {slides: arrivals.tsv, features: arrived}
evaluation:
  optimism: {changes: [epoch]}
  reference: linear
  primary: {method: mirror, metric: c_index, protocol: honest, cohort: planted, encoder: resnet50, setting: all}
explain: {}
"""

SHEETS = ("arrivals.tsv", "patients.tsv", "census.csv", "expression.tsv", "probes.tsv", "sets.csv")
SLIDES = [(f"slide-{i}", f"patient-{i // 2}") for i in range(24)]
HEADER = "slide_id\tpatient\tcase\tpath\n"


def example_config() -> dict[str, Any]:
    """The config as a user would write it."""
    return yaml.safe_load(EXAMPLE)


def write_example(folder: Path) -> None:
    """The files that the config and its changes name; most are empty, nothing reads them."""
    write_slides(folder, SLIDES)
    for name in SHEETS:
        (folder / name).touch()
    for folds in ("folds", "other-folds"):
        (folder / folds).mkdir()
        for fold in range(3):
            (folder / folds / f"splits_{fold}.csv").touch()
    for features in ("first", "second"):
        (folder / "elsewhere" / features).mkdir(parents=True)
    (folder / "arrived").mkdir()


def write_slides(folder: Path, slides: list[tuple[str, str]]) -> None:
    """The sheet of slides: pairs of slide and patient."""
    rows = [f"{slide}\t{patient}\t{patient}\t{slide}.svs\n" for slide, patient in slides]
    (folder / "slides.tsv").write_text(HEADER + "".join(rows), encoding="utf-8")
