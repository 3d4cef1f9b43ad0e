"""The config's section ``new_patients``: whom the models of the finished run are asked about."""

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config.fields import Section, fraction, many, name, number, path, stated

KIND = {"type": "number", "exclusiveMinimum": 0}


@stated
class NewPatients(Section):
    """Patients of whom no label needs to be known. What models say of them lies in
    results/<run>/new_patients/<name>/.
    """

    slides: str = path("Sheet with slide_id, patient and path; without it every feature file is a patient.")
    features: str = path("Folder of <slide_id>.h5; without it features are made of the slides, as those of training.")
    expression: str = path("Expression matrix of the new patients, read as the training's.")
    sheet: str = path("Sheet with the column patient, and site or clinical columns.")
    weights: str = path("The encoder's weights, where training had them from a file.")
    protocol: str = name("Protocol whose models are asked; by default honest, or the only one.")
    cohort: str = name("Cohort whose models are asked; by default the only one.")
    encoder: str = name("Encoder whose models are asked; by default the only one.")
    methods: list[str] = many("Methods that are asked; by default all.", {"type": "string"})
    days: list[float] = many(
        "Days at which survival is given, where folds allow it.", KIND, [365, 730, 1095, 1825], minItems=1
    )
    coverage: float = number("What sets of classes aim at.", 0.9, minimum=0.5, exclusiveMaximum=1)
    missing_genes: float = fraction("Share of a model's genes that the expression matrix may lack.", 0.1)


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What is impossible in the section, a line each."""
    for entry_name, entry in config["new_patients"].items():
        where = f"new_patients.{entry_name}"
        if not any(entry.get(key) for key in ("slides", "features", "expression", "sheet")):
            yield f"{where}: names nothing of the patients: give slides, features, expression or sheet"
        for key, there in (("protocol", "protocols"), ("cohort", "cohorts")):
            if entry.get(key) and entry[key] not in config[there]:
                yield f"{where}.{key}: {entry[key]!r} is not in this run (there: {', '.join(config[there])})"
        for method in entry.get("methods", ()):
            if method not in config["methods"]:
                yield f"{where}.methods: {method!r} is no method of this run (there: {', '.join(config['methods'])})"
