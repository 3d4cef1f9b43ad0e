"""The README that lies beside a simulated cohort: what is planted in it and what is wrong with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mirrorflow.demo import factors, rna, slides
from mirrorflow.demo.clinical import Gaps, histological_type
from mirrorflow.demo.slides import SlidePlan

_TEXT = """\
# A simulated cohort ({prefix})
Nothing here comes from a person. Made by mirrorflow's `simulation` from seed {seed}: {patients} patients with
{slide_count} slides, {further} further patients with RNA only. Settings: `simulation.json`.

## Planted signal
Each patient has three factors (`truth.tsv`), independent until the subtypes are moved apart:

| factor | seen in the slides as | seen in RNA as |
|---|---|---|
| shared | more and denser cell nests | {shared_transcripts} transcripts (module `shared`) |
| slide_only | larger, more elongated nuclei, bluer cytoplasm | nothing |
| rna_only | nothing | {rna_transcripts} transcripts (module `rna_only`) |

- **Subtype**: the plane of shared and (slide_only + rna_only) / sqrt(2) is cut into as many sectors as there are
  subtypes, then each patient is moved {margin} standard deviations into the own sector. Either modality alone
  knows a part; both together know all of it. In the clinical matrix: {subtypes}.
- **Risk**: log hazard = {hazard};
  exponential times, end of follow-up uniform over {follow_up} days.
- **Nuisance**: {nuisance_modules} RNA modules that follow unrelated factors, a batch effect of each site on RNA,
  each site's own stain, age, sex and stage. Sites are only weakly tied to the subtype ({preference:.0%} of the
  patients come from a site that their subtype prefers).
- Two slides of a patient differ in each factor with a standard deviation of {within}.

Which transcript carries what, and how strongly: `truth_transcripts.tsv`.

## Planted faults
{faults}

## Files
- `slides/*.svs`: Aperio SVS (tiled JPEG pyramid); `slides.tsv`: the sample sheet.
- `rna/isoform_fpkm.tsv.gz`: Xena's Toil form, log2(FPKM + 0.001), transcripts x samples;
  `rna/transcript.probemap`: transcript to gene.
- `clinical/survival.tsv`, `clinical/clinical_matrix.tsv`: Xena's survival table and clinicalMatrix.
- `census.tsv`: invented genes under COSMIC's header.
"""


def describe(
    settings: Mapping[str, Any],
    patients: pd.DataFrame,
    plans: Sequence[SlidePlan],
    transcripts: pd.DataFrame,
    faults: Sequence[str],
) -> str:
    """Text of the cohort's README; ``faults`` are lines of :func:`list_faults`."""
    subtypes = (f"{name} = {histological_type(name)}" for name in settings["classes"])
    hazard = (f"{weight} {name}" for name, weight in factors.HAZARD_WEIGHTS.items())
    return _TEXT.format(
        **settings,
        slide_count=len(plans),
        further=int((~patients["has_slides"]).sum()),
        shared_transcripts=int((transcripts["module"] == "shared").sum()),
        rna_transcripts=int((transcripts["module"] == "rna_only").sum()),
        subtypes=", ".join(subtypes),
        margin=factors.SUBTYPE_MARGIN,
        hazard=" + ".join(hazard),
        follow_up=" to ".join(f"{days:.0f}" for days in factors.CENSORING_TIME_DAYS),
        nuisance_modules=rna.NUISANCE_MODULES,
        preference=factors.SITE_PREFERENCE,
        within=slides.WITHIN_PATIENT_SD,
        faults="\n".join(f"- {fault}" for fault in faults),
    )


def list_faults(plans: Sequence[SlidePlan], gaps: Gaps, samples: pd.DataFrame) -> list[str]:
    """One sentence a planted fault, with whom it strikes and what should follow."""
    of_kind = {kind: [plan for plan in plans if plan.kind == kind] for kind in ("corrupt", "empty")}
    lines = [f"{p.slide_id}: file cut off; {p.patient} keeps the other slide" for p in of_kind["corrupt"]]
    lines += [f"{p.slide_id}: no tissue, dust only; {p.patient} has no other slide" for p in of_kind["empty"]]
    lines += [f"{patient}: no RNA" for patient in gaps.rna]
    lines += [f"{patient}: outcome unknown (empty)" for patient in gaps.outcome]
    lines += [f"{patient}: histological type empty" for patient in gaps.subtype]
    extra = samples.loc[samples["type"] != "01", "sample"]
    return [*lines, f"normals (-11) and metastases (-06) that belong to no analysis: {', '.join(sorted(extra))}"]


def note_faults(patients: pd.DataFrame, plans: Sequence[SlidePlan], gaps: Gaps) -> pd.Series:
    """What is wrong with each patient in a few words, for ``truth.tsv``; empty for most."""
    words = dict.fromkeys(gaps.rna, "no_rna") | dict.fromkeys(gaps.outcome, "no_outcome")
    words |= dict.fromkeys(gaps.subtype, "no_subtype")
    words |= {plan.patient: f"{plan.kind}_slide" for plan in plans if plan.kind != "good"}
    words |= dict.fromkeys(patients.loc[~patients["has_slides"], "patient"], "no_slide")
    return patients["patient"].map(words).fillna("")
