"""What of a resolved config contradicts itself: references to what is not there, settings that cannot go together."""

from collections.abc import Iterator, Mapping
from typing import Any

from mirrorflow.config import adaptation as adaptations
from mirrorflow.config.bounds import check_cox_batches, check_passes
from mirrorflow.config.encoder_table import named_encoder
from mirrorflow.config.explained import explain_problems
from mirrorflow.config.fields import Settings, keys_of
from mirrorflow.config.mask_settings import segmentation_from
from mirrorflow.config.methods import PRETRAINED_FAMILIES, method_of
from mirrorflow.config.modalities import has_rna, modality_problems
from mirrorflow.config.new_patients import problems as new_patient_problems
from mirrorflow.config.primary import primary_problems
from mirrorflow.config.protocols import GENERATED_SPLITS, REPAIRED
from mirrorflow.config.queries import selection_of, split_source, strange_keys
from mirrorflow.config.saw import NO, UNKNOWN
from mirrorflow.config.slide_settings import Patching
from mirrorflow.config.training_settings import Train
from mirrorflow.errors import ConfigError


def check_references(config: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Raise ConfigError that lists every contradiction; ``raw``: the config before its defaults were filled in."""
    problems = [*_reference_problems(config, raw), *primary_problems(config), *explain_problems(config)]
    problems += _compute_problems(config["compute"])
    problems += modality_problems(config)
    for name, entry in config["methods"].items():
        problems += _pretrain_problems(f"methods.{name}", entry)
        problems += _place_problems(config, name, entry)
        problems += _shape_problems(config, name)
        problems += _training_problems(config, name)
    problems += _saw_problems(config)
    problems += _encoder_problems(config)
    problems += _mask_problems(config["slides"]["segmentation"])
    for preset, patching in config["slides"]["presets"].items():
        problems += _impossible(f"slides.presets.{preset}", Patching, patching)
    for cohort, entry in config["cohorts"].items():
        problems += _cohort_problems(config, f"cohorts.{cohort}", entry)
    problems += adaptations.problems(config, PRETRAINED_FAMILIES)
    problems += new_patient_problems(config)
    if problems:
        raise ConfigError("the config contradicts itself:\n" + "\n".join(f"  {problem}" for problem in problems))


def _reference_problems(config: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    """A reference that ``raw`` names and that is not run; a run without the default one has no verdicts."""
    named = raw.get("evaluation", {}).get("reference")
    if named is not None and named not in config["methods"]:
        yield f"evaluation.reference: {named!r} is no method of this run (there: {', '.join(config['methods'])})"


def _compute_problems(compute: Mapping[str, Any]) -> Iterator[str]:
    try:
        check_passes(compiled=compute["compile"], micro_batch=compute["micro_batch"])
    except ConfigError as error:
        yield f"compute: {error}"


def _mask_problems(segmentation: Mapping[str, Any]) -> Iterator[str]:
    """Of the preset with its changes: settings that are right one by one."""
    try:
        segmentation_from(segmentation)
    except ConfigError as error:
        yield f"slides: {error}"


def _pretrain_problems(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    family = entry["family"]
    for key in sorted(set(entry.get("pretrain", {})) & strange_keys(family)):
        yield f"{where}.pretrain.{key}: no setting of {family}"


def _shape_problems(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """What cannot go together in a method's network: heads that do not divide the width."""
    method, entry = method_of(name), config["methods"][name]
    if method.kind == "network":
        yield from _impossible(f"methods.{name}.network", method.parts["SETTINGS"], entry["network"])
        full, tokens = entry["network"].get("full_bag", 0), entry["train"]["tokens"]
        if full > tokens:
            yield (
                f"methods.{name}.network.full_bag: {full} tokens make a full bag and train.tokens draws {tokens}, so "
                f"that no training step would have a plan; set full_bag to {tokens}, or to 0"
            )
    if method.kind == "pretrained":
        shape, settings = method.parts["SETTINGS"], entry["pretrain"]
        keys = {one.name for one in keys_of(shape)}
        whole = {key: value for key, value in settings.items() if key in keys} | {"patch_dim": 1, "gene_count": 1}
        yield from _impossible(f"methods.{name} (pretrain)", shape, whole)


def _training_problems(config: Mapping[str, Any], name: str) -> Iterator[str]:
    """What cannot go together in a network's training on the run's tasks."""
    entry = config["methods"][name]
    train = entry.get("train")
    if train is None or "survival" not in set(entry["tasks"]) & set(config["evaluation"]["tasks"]):
        return
    try:
        check_cox_batches(train.get("survival", Train.survival), train["batch_size"])
    except ConfigError as error:
        yield f"methods.{name}.train: {error}"


def _impossible(where: str, settings: type[Settings], values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with settings that are right one by one."""
    try:
        settings(**values)
    except ConfigError as error:
        yield f"{where}: {error}"


def _encoder_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in config["features"]["encoders"].items():
        try:
            known = named_encoder(entry["model"])
        except ConfigError as error:
            yield f"features.encoders.{name}: {error}"
            continue
        if known is not None and entry["image_size"] != known.image_size:
            yield (
                f"features.encoders.{name}.image_size: {entry['model']} sees {known.image_size} px, this is "
                f"{entry['image_size']}; leave it out"
            )


def _saw_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What is said of encoders that no cohort has, and words that exclude one another."""
    known = {encoder for cohort in config["cohorts"].values() for encoder in cohort["encoders"]}
    for encoder, what in config["features"].get("saw", {}).items():
        if encoder not in known:
            yield f"features.saw.{encoder}: no cohort has this encoder (there: {', '.join(sorted(known))})"
        if len(what) > 1 and {NO, UNKNOWN} & set(what):
            yield f"features.saw.{encoder}: {', '.join(what)}: `{NO}` and `{UNKNOWN}` stand alone"


def _place_problems(config: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Cohorts, encoders and genes that a method names for itself."""
    encoders = {encoder for cohort in config["cohorts"].values() for encoder in cohort["encoders"]}
    encoders |= set(config["features"]["encoders"])
    for key, known in (("cohorts", set(config["cohorts"])), ("encoders", encoders)):
        if unknown := [one for one in entry.get(key, []) if one not in known]:
            yield f"methods.{name}.{key}: {', '.join(unknown)}: the run has {', '.join(sorted(known))}"
    if "selection" not in entry:
        return
    if entry.get("gene_sets", "random") != "random":
        yield f"methods.{name}.selection: the genes are those of the method's gene_sets; set these instead"
    selection = selection_of(config, name)
    if selection["method"] in ("families", "pathways") and not selection["gene_sets"]:
        yield f"methods.{name}.selection: {selection['method']} needs gene_sets, a CSV with one column a set"


def _cohort_problems(config: Mapping[str, Any], where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    if has_rna(entry) and entry["expression"] not in config["expression"]["sources"]:
        known = ", ".join(config["expression"]["sources"]) or "none"
        yield f"{where}.expression: {entry['expression']!r} is no source in expression.sources (there: {known})"
    yield from _cause_problems(f"{where}.clinical", entry["clinical"])
    for encoder in entry["encoders"]:
        if encoder not in entry["features"] and encoder not in config["features"]["encoders"]:
            yield (
                f"{where}.encoders: {encoder!r} is neither in features.encoders nor, for features made elsewhere, "
                f"in {where}.features"
            )
    yield from _split_problems(config, where, entry)
    for encoder in entry["encoders"]:
        patching = config["features"]["encoders"].get(encoder, {}).get("patching")
        if encoder not in entry["features"] and patching not in config["slides"]["presets"]:
            yield f"features.encoders.{encoder}.patching: {patching!r} is no preset in slides.presets"


def _split_problems(config: Mapping[str, Any], where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Protocols' splits that the cohort has no files for, and files under a name that means others."""
    for name, protocol in config["protocols"].items():
        splits = protocol["splits"]
        if splits not in GENERATED_SPLITS and split_source(entry, splits) is None:
            yield (
                f"protocols.{name}.splits: {splits!r} is not one of {', '.join(GENERATED_SPLITS)} and {where}.splits "
                f"names no folder for it (there: {', '.join(entry['splits']) or 'none'}; <name>{REPAIRED} takes the "
                "folds of <name> with every patient kept once)"
            )
    for name in entry["splits"]:
        if name.endswith(REPAIRED):
            yield f"{where}.splits.{name}: {REPAIRED} at the end is for protocols, choose another name"
        elif name in GENERATED_SPLITS:
            yield f"{where}.splits.{name}: the name stands for folds drawn here; choose another, for protocols, too"


def _cause_problems(where: str, clinical: Mapping[str, Any]) -> Iterator[str]:
    """A cause-specific outcome needs deaths of any cause beside it: columns of a sheet, or Xena's OS.

    Where a sheet has dates, follow-up is from start to end whatever the cause.
    """
    said = clinical.get("cause_specific")
    if said is None:
        return
    columns = ("time", "event")
    if "sheet" in clinical:
        dated = bool({"start", "end"} & clinical["columns"].keys())
        if dated and "time" in said:
            yield f"{where}.cause_specific.time: `columns` has start and end, which hold for every death: leave it out"
        if missing := [key for key in ("name", *columns[dated:]) if key not in said]:
            yield (
                f"{where}.cause_specific: {', '.join(missing)} missing: what the outcome is called, and the sheet's "
                "columns with time (not beside dates) and death of any cause: "
                "{name: DSS, time: os_months, event: os_event}"
            )
        return
    if given := [key for key in columns if key in said]:
        yield f"{where}.cause_specific.{given[0]}: names a column of a sheet; of Xena's table it is OS: leave it out"
    if clinical["outcome"] == "OS":
        yield f"{where}.outcome: OS is death of any cause; set outcome: DSS, or leave cause_specific out"
