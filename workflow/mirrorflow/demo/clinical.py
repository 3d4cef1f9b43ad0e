"""Xena's clinical tables: PanCanAtlas survival, a cohort's clinicalMatrix; and what is missing in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.demo.settings import generator

PATIENTS_WITHOUT_RNA = 2
PATIENTS_WITHOUT_OUTCOME = 2
SUBTYPES_MISSING_SHARE = 1 / 30


@dataclass(frozen=True)
class Gaps:
    """Patients with slides of whom something is unknown; the three lists share nobody."""

    rna: list[str]
    outcome: list[str]
    subtype: list[str]


def draw_gaps(patients: pd.DataFrame, settings: Mapping[str, Any], *, spare: Sequence[str]) -> Gaps:
    """Choose the patients with something missing, none of them in ``spare`` (those with faulty slides)."""
    rng = generator(settings["seed"], "gaps")
    candidates = patients.loc[patients["has_slides"] & ~patients["patient"].isin(spare), "patient"]
    order = rng.permutation(candidates.to_numpy(dtype=str)).tolist()
    first, second = PATIENTS_WITHOUT_RNA, PATIENTS_WITHOUT_RNA + PATIENTS_WITHOUT_OUTCOME
    third = second + max(1, round(settings["patients"] * SUBTYPES_MISSING_SHARE))
    return Gaps(order[:first], order[first:second], order[second:third])


def histological_type(subtype: str) -> str:
    """Name of a subtype as the clinical matrix spells it: alpha -> Alpha Carcinoma."""
    return f"{subtype.title()} Carcinoma"


def draw_demographics(patients: pd.DataFrame, gaps: Gaps, seed: int) -> pd.DataFrame:
    """What both tables say of a patient, indexed by patient; unrelated to the planted factors."""
    rng = generator(seed, "demographics")
    count = len(patients)
    stages = ["Stage I", "Stage II", "Stage III", "Stage IV"]
    kinds = patients["subtype"].map(histological_type).mask(patients["patient"].isin(gaps.subtype))
    return pd.DataFrame(
        {
            "age": rng.normal(61, 11, count).clip(28, 89).round().astype(int),
            "gender": rng.choice(["FEMALE", "MALE"], count),
            "stage": rng.choice(stages, count, p=[0.25, 0.35, 0.28, 0.12]),
            "histological_type": kinds.to_numpy(),
            "site": patients["site"].to_numpy(),
        },
        index=pd.Index(patients["patient"], name="patient"),
    )


def survival_table(
    patients: pd.DataFrame, samples: pd.DataFrame, people: pd.DataFrame, gaps: Gaps, settings: Mapping[str, Any]
) -> pd.DataFrame:
    """Xena's ``Survival_SupplementalTable_S1``: one row a sample, outcomes in days, unknown ones empty.

    OS is the planted outcome; DSS counts one death in ten as of another cause; PFI comes no later than OS.
    """
    outcomes = draw_endpoints(patients, gaps, settings["seed"])
    rows = _rows(patients, samples)
    person, outcome = people.loc[rows["patient"]], outcomes.loc[rows["patient"]].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "sample": rows["sample"],
            "_PATIENT": rows["patient"],
            "cancer type abbreviation": settings["prefix"],
            "age_at_initial_pathologic_diagnosis": person["age"].to_numpy(),
            "gender": person["gender"].to_numpy(),
            "ajcc_pathologic_tumor_stage": person["stage"].to_numpy(),
            "histological_type": person["histological_type"].to_numpy(),
            "vital_status": outcome["OS"].map({1: "Dead", 0: "Alive"}),
        }
    )
    return pd.concat([table, outcome], axis=1)


def draw_endpoints(patients: pd.DataFrame, gaps: Gaps, seed: int) -> pd.DataFrame:
    """OS, OS.time, DSS, DSS.time, PFI, PFI.time indexed by patient; nullable whole numbers."""
    rng = generator(seed, "endpoints")
    count = len(patients)
    died, time = patients["event"].to_numpy(), patients["time_days"].to_numpy()
    progressed = (died == 1) | (rng.random(count) < 0.2)
    until = np.where(progressed, (time * rng.uniform(0.4, 1.0, count)).astype(int), time)
    columns = {
        "OS": died,
        "OS.time": time,
        "DSS": np.where(rng.random(count) < 0.1, 0, died),
        "DSS.time": time,
        "PFI": progressed.astype(int),
        "PFI.time": np.maximum(1, until),
    }
    table = pd.DataFrame(columns, index=pd.Index(patients["patient"], name="patient")).astype("Int64")
    table.loc[gaps.outcome] = pd.NA
    return table


def clinical_matrix(patients: pd.DataFrame, samples: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Xena's ``clinicalMatrix``: one row a sample, ``histological_type`` is the subtype's long name."""
    rows = _rows(patients, samples)
    person = people.loc[rows["patient"]].reset_index(drop=True)
    return pd.DataFrame(
        {
            "sampleID": rows["sample"],
            "_PATIENT": rows["patient"],
            "histological_type": person["histological_type"],
            "age_at_initial_pathologic_diagnosis": person["age"],
            "gender": person["gender"],
            "pathologic_stage": person["stage"],
            "tissue_source_site": person["site"],
        }
    )


def _rows(patients: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Every patient's primary tumour and the further samples that have RNA, sorted by barcode."""
    primary = pd.DataFrame({"sample": patients["patient"] + "-01", "patient": patients["patient"]})
    further = samples.loc[samples["type"] != "01", ["sample", "patient"]]
    return pd.concat([primary, further]).sort_values("sample").reset_index(drop=True)
