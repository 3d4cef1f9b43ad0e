"""Section ``evaluation``: rows of the tables, intervals, verdicts, the optimism table."""

from mirrorflow.config.fields import (
    Section,
    many,
    name,
    newer,
    number,
    setting,
    stated,
    text,
    whole,
)

TASKS = ("subtyping", "survival")


@stated
class Optimism(Section):
    """The optimism table (tables/optimism.*): every method under `base` with one published choice of `against` at a
    time, on all training data (no k-shot settings). Each single change is a protocol change--<key> of its own, which
    costs what its model scope costs; null - no such table.
    """

    base: str = name("The protocol that is changed.", "honest")
    against: str = name("The protocol that has the published choices.", "paper")
    changes: list[str] = many(
        "Keys of a protocol (gene_selection, epoch, splits, evaluate_all, ...); empty - every key in which the two "
        "differ.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )
    methods: list[str] = many(
        "Methods of the run that changes are tried on (every change trains networks anew); empty - all.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )


@stated
class Primary(Section):
    """The primary comparison, named before the run: one method against `evaluation.reference` by one metric. Its p is
    not adjusted for the others, which tables and report call exploratory. Keys that are left out stand for the only one
    that the run has; null - every comparison is exploratory.
    """

    method: str = name("The method that is held against the reference.", required=True)
    metric: str = text("The metric: c_index, accuracy, ...", required=True)
    protocol: str = name("The protocol.")
    cohort: str = name("The cohort.")
    encoder: str = name("The encoder; `none` for a method without slides.")
    setting: str = text("`all` or `<k>-shot`; by default all.")


@stated
class Evaluation(Section):
    """Which rows the tables have and how sure they are."""

    tasks: list[str] = many("Tasks of the run.", {"enum": list(TASKS)}, list(TASKS), minItems=1, uniqueItems=True)
    shots: list[int] = many(
        "k of the k-shot settings, beside `all`.", {"$ref": "#/$defs/count"}, [10], uniqueItems=True
    )
    bootstrap: int = whole(
        "Resamples of the patient-level bootstrap; 0 - no intervals and no verdicts. With more than 25 comparisons in "
        "a column of a table, 1000 can tell none apart after Holm; 10000 can up to 250.",
        1000,
    )
    confidence: float = number("Level of the intervals.", 0.95, exclusiveMinimum=0, exclusiveMaximum=1)
    seed: int = whole("Seed of the bootstrap.", 0)
    optimism: Optimism | None = setting("", None, section=Optimism, type=["object", "null"])
    reference: str = name(
        "The method of this run that every other is held against (paired bootstrap and corrected resampled t-test, "
        "Holm), named before the results are seen; a run without the default one has no verdicts. A cohort that lacks "
        "what it sees is held against linear (slides alone) or rna-linear (RNA alone).",
        "concat-linear",
    )
    primary: Primary | None = setting("", None, section=Primary, type=["object", "null"])
    permutations: int = newer(
        "How often the whole cross-validation of classical methods that predict survival is repeated with outcomes "
        "traded among patients (rule permute_outcomes): a valid p beside their survival curves. A repeat costs what "
        "fit_baseline does less the reading; 0 - none.",
        0,
        type="integer",
        minimum=0,
    )
    site_baseline: bool = newer(
        "Whether the method `site` (the event rate or class share of a patient's site alone) stands in the tables "
        "without being named, under protocols whose folds may have a site on both sides and on cohorts whose `site` "
        "is not none. A run that names the method has it under every protocol.",
        default=True,
        type="boolean",
    )
