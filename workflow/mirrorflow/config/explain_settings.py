"""Section ``explain``: what models saw on slides, of which patients."""

from mirrorflow.config.fields import NAME, Section, count, count_or_none, many, stated


@stated
class Explain(Section):
    """What models saw on slides of evaluation patients (rule explain_slides): weights of patches, and what is lost
    where patches are left out. With the key (it may be empty) every run makes these pictures; without it
    `snakemake explained` does, as the defaults say. null - the defaults.
    """

    methods: list[str] = many(
        "Methods of the run; empty - all networks over patches, pretrained or trained on labels.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )
    protocols: list[str] = many("Protocols of the run; empty - its first.", NAME, [], uniqueItems=True)
    patients: list[str] = many(
        "Patients by name; empty - by a fixed rule, of each task and from evaluation folds alone: the one nearest to "
        "the median of each class, or to the middle of each risk quartile; then the two worst errors.",
        {"type": "string"},
        [],
        uniqueItems=True,
    )
    most: int | None = count_or_none("The first so many patients of a task; null - all that the rule names.", None)
    groups: int = count("Groups of neighbouring patches, which are left out one at a time.", 20, origin="ours")
    covers: int = count("How often draws cover all patches of a bag, for methods that draw (MIRROR).", 3, origin="ours")
