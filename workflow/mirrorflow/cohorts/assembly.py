"""Patients, slides and expression joined into a cohort; who falls out on the way is counted, with the reason."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from mirrorflow.cohorts import endpoint
from mirrorflow.cohorts.flow import Flow
from mirrorflow.cohorts.other_samples import not_listed
from mirrorflow.cohorts.patients import HAS_RNA, has_label, has_outcome
from mirrorflow.config.modalities import AVAILABLE, COMMON
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError

NO_CAUSE = "dead, cause unknown: kept for pretraining and subtyping, bounded in tables/cause_bounds"


def assemble(
    patients: pd.DataFrame,
    indexes: Mapping[str, pd.DataFrame],
    rna_patients: Sequence[str] | None,
    where: str,
    left_aside: Mapping[str, str] | None = None,
    train_on: str = COMMON,
) -> tuple[pd.DataFrame, Flow]:
    """Join patients, slides with features of every encoder, and expression into the cohort's frame.

    ``indexes`` holds one frame per encoder with slide_id, patient, status, reason; a slide counts when all
    encoders have features of it, so that every encoder is compared on the same patients. None: a cohort without
    slides; ``rna_patients`` None: one without expression. ``left_aside``: patients whom the clinical tables know and
    ``patients`` does not, with the types of their samples. train_on: ``common``, who has everything that the cohort
    has; ``available``, who has any of it. Raises InputError when nobody is left, showing names of each side.
    """
    flow = Flow()
    every = _named_slides(indexes)
    flow.count("patients in the sheet", len(patients), int(every["patient"].isin(patients["patient"]).sum()))
    slides = _with_features(every, indexes, flow)
    listed = slides["patient"].isin(patients["patient"])
    unlisted = slides[~listed]
    reasons = [not_listed((left_aside or {}).get(patient)) for patient in unlisted["patient"]]
    flow.drop("clinical data", unlisted["patient"], reasons, unlisted["slide_id"])
    by_patient = {name: sorted(group) for name, group in slides[listed].groupby("patient")["slide_id"]}
    frame = patients.assign(slide_ids=patients["patient"].map(lambda name: by_patient.get(name, [])))
    rna = set(rna_patients or ())
    asked = [*(["slides"] if indexes else []), *([] if rna_patients is None else ["expression"])]
    kept = _with_any(frame, rna, flow) if train_on == AVAILABLE else _with_all(frame, rna, asked, flow)
    if kept.empty:
        names = {"slides": every["patient"], "expression": rna_patients or ()}
        raise InputError(_nobody(where, patients["patient"], {noun: names[noun] for noun in asked}))
    kept = kept.sort_values("patient", ignore_index=True)
    has_rna = kept["patient"].isin(list(rna))
    if not has_rna.all():
        kept[HAS_RNA] = has_rna.to_numpy()
    _count_known(kept, flow)
    return kept, flow


def _named_slides(indexes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    named = [index[["slide_id", "patient"]] for index in indexes.values()]
    return pd.concat(named or [pd.DataFrame(columns=["slide_id", "patient"])]).drop_duplicates("slide_id")


def _with_all(frame: pd.DataFrame, rna: set[str], asked: Sequence[str], flow: Flow) -> pd.DataFrame:
    """Who has what is ``asked`` for of slides and expression."""
    kept, steps = frame, []
    rows = {
        "slides": (frame["slide_ids"].map(len) > 0, "no slide with features"),
        "expression": (frame["patient"].isin(list(rna)), "no expression"),
    }
    for noun in asked:
        there, why = rows[noun]
        left = kept[there[kept.index]]
        flow.drop(noun, sorted(set(kept["patient"]) - set(left["patient"])), why)
        kept = left
        steps.append(noun)
        if len(kept) or noun == "slides":
            flow.count(f"with {' and '.join(steps)}", len(kept), int(kept["slide_ids"].map(len).sum()))
    return kept


def _with_any(frame: pd.DataFrame, rna: set[str], flow: Flow) -> pd.DataFrame:
    """Who has slides or expression: each method takes those who have what it sees."""
    slides, expressed = frame["slide_ids"].map(len) > 0, frame["patient"].isin(list(rna))
    lost = frame.loc[~(slides | expressed), "patient"]
    flow.drop("slides or expression", sorted(lost), "neither a slide with features nor expression")
    for what, rows in (
        ("with slides or expression (train_on: available)", slides | expressed),
        ("of these with slides", slides),
        ("of these with expression", expressed),
        ("of these with slides and expression", slides & expressed),
    ):
        flow.count(what, int(rows.sum()), int(frame.loc[rows, "slide_ids"].map(len).sum()))
    return frame[slides | expressed]


def _nobody(where: str, clinical: Iterable[str], names: Mapping[str, Iterable[str]]) -> str:
    """That nobody has everything, with names of each side. names: of slides and expression, as far as asked for."""
    order = [*(["slides"] if "slides" in names else []), "clinical data", *sorted(set(names) - {"slides"})]
    sides = [f"clinical data name {_some(clinical)}", *(f"{noun} {_some(of)}" for noun, of in names.items())]
    what = f"{', '.join(order[:-1])} and {order[-1]}"
    return f"{where}: nobody has {what}: {', '.join(sides)}; check the ids (`columns:`, `sample_ids:`)"


def _with_features(slides: pd.DataFrame, indexes: Mapping[str, pd.DataFrame], flow: Flow) -> pd.DataFrame:
    """The slides that every encoder has features of."""
    for encoder, index in indexes.items():
        bad = index[index["status"] != "ok"]
        reasons = bad["status"] + ": " + bad["reason"]
        absent = slides[~slides["slide_id"].isin(index["slide_id"])]
        flow.drop(f"features of {encoder}", bad["patient"], reasons, bad["slide_id"])
        flow.drop(f"features of {encoder}", absent["patient"], "missing: not in its index", absent["slide_id"])
    if not indexes:
        return slides
    good = [set(index.loc[index["status"] == "ok", "slide_id"]) for index in indexes.values()]
    return slides[slides["slide_id"].isin(set.intersection(*good))]


def _some(names: Iterable[str]) -> str:
    names = sorted(set(names))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "nobody"


def _count_known(frame: pd.DataFrame, flow: Flow) -> None:
    slides = frame["slide_ids"].map(len)
    labelled, followed = has_label(frame), has_outcome(frame)
    flow.count("of these with a label (subtyping)", int(labelled.sum()), int(slides[labelled].sum()))
    flow.count("of these with a known outcome (survival)", int(followed.sum()), int(slides[followed].sum()))
    for what, rows in endpoint.deaths_by_cause(frame).items():
        flow.count(what, int(rows.sum()), int(slides[rows].sum()))
    if (frame["site"] != "").any() and (frame["site"] == "").any():
        known = frame["site"] != ""
        flow.count("of these with a known site", int(known.sum()), int(slides[known].sum()))
    unlabelled, unfollowed = frame[~labelled], frame[~followed]
    flow.drop("subtyping", unlabelled["patient"], unlabelled["sheet_label"].map(_no_class))
    reasons = unfollowed["time_days"].map(_no_outcome).mask(endpoint.died_of_unknown_cause(unfollowed), NO_CAUSE)
    flow.drop("survival", unfollowed["patient"], reasons)


def _no_class(sheet_label: str) -> str:
    what = "stands for unknown" if is_unknown(sheet_label) else "is not among `classes`"
    why = f"label {sheet_label!r} {what}" if sheet_label else "no label"
    return f"{why}: kept for pretraining and survival"


def _no_outcome(time_days: float) -> str:
    why = "follow-up of 0 days" if time_days == 0 else "outcome unknown"
    return f"{why}: kept for pretraining and subtyping"
