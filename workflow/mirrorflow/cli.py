"""The console command ``mirrorflow``: what is useful outside the workflow."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mirrorflow.errors import MirrorflowError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status, 1 with a message for what the user can fix."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except MirrorflowError as error:
        sys.stderr.write(f"mirrorflow: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mirrorflow", description=__doc__)
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="check a config and the sheets it names, and say what does not fit")
    _add_configfiles(check)
    check.set_defaults(command=_check)
    _add_preflight(commands)
    _add_clean(commands)
    audit = commands.add_parser("audit", help="audit anyone's split files and predictions")
    audit.add_argument("--splits", type=Path, help="folder of splits_<k>.csv (columns train, val, or test)")
    audit.add_argument("--predictions", type=Path, help="folder with fold<k>.parquet files at any depth")
    audit.add_argument("--institutions", type=Path, help="sheet with site and institution, or the word tcga")
    audit.add_argument("--slides", type=Path, help="sheet with slide_id and patient, for split files of slides")
    audit.add_argument("--repair", type=Path, help="write split files there that keep every patient once")
    audit.add_argument("--patients", type=Path, help="sheet with patient and optionally site, label")
    audit.set_defaults(command=_audit)
    unlock = commands.add_parser("unlock", help="clear the lock of a Snakemake that is dead")
    unlock.set_defaults(command=_unlock)
    reference = commands.add_parser("config-reference", help="print the reference of all config keys")
    reference.set_defaults(command=_reference)
    imported = commands.add_parser("import-checkpoint", help="take a public checkpoint of MIRROR's pretraining over")
    imported.add_argument("checkpoint", type=Path, help="torch or safetensors file with the state dict")
    imported.add_argument("folder", type=Path, help="where model.safetensors and config.json are written")
    imported.set_defaults(command=_import_checkpoint)
    fidelity = commands.add_parser(
        "fidelity", help="print the page of what each method's public code does, and this one"
    )
    fidelity.set_defaults(command=_fidelity)
    _add_bench(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_feature_formats(commands)
    plan = commands.add_parser("plan", help="count the jobs of a config by rule, as from nothing")
    _add_configfiles(plan)
    plan.set_defaults(command=_plan)
    return parser


def _add_configfiles(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--configfile",
        dest="configfiles",
        type=Path,
        nargs="+",
        default=[Path("config/config.yaml")],
        help="as Snakemake's: of several files each stands on top of those before it",
    )


def _add_preflight(commands: Any) -> None:
    preflight = commands.add_parser(
        "preflight",
        help="open everything a run will open; forecast patches, disk and hours; list what to fix",
        description="Exit status 1 where the run would fail. Slides that would be ledgered as failed are listed and "
        "do not count, unless --strict.",
    )
    _add_configfiles(preflight)
    preflight.add_argument("--patches-per-second", type=float, help="speed of the encoders, instead of measuring it")
    preflight.add_argument("--cores", type=int, help="cores the run will have (all)")
    preflight.add_argument("--strict", action="store_true", help="exit status 1 for whatever is to be fixed")
    preflight.add_argument("--table", type=Path, help="write the list of findings to this TSV")
    preflight.set_defaults(command=_preflight)


def _add_clean(commands: Any) -> None:
    clean = commands.add_parser(
        "clean",
        help="list what the store holds of other settings than the config's, and delete it with --yes",
        description="Only files that mirrorflow wrote, in folders whose record says other settings; nothing without "
        "--yes. Slides, sheets and features of one's own are never touched.",
    )
    _add_configfiles(clean)
    clean.add_argument("--what", choices=["masks", "features"], required=True, help="masks: with features made of them")
    clean.add_argument("--yes", action="store_true", help="delete what is listed")
    clean.set_defaults(command=_clean)


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="new patients by the models of a finished run",
        description="Give what the new patients have: slides, features, an expression sheet, a sheet. No label is "
        "needed. Patients of the run get the value of the models that were not trained on them, marked so.",
    )
    predict.add_argument("run", type=Path, help="results/<run>, of a finished run")
    predict.add_argument("--out", type=Path, required=True, help="folder for the tables")
    predict.add_argument("--slides", type=Path, help="sheet with slide_id, patient, path; without it a file a patient")
    predict.add_argument("--features", type=Path, help="folder of <slide_id>.h5; else they are made of the slides")
    predict.add_argument("--expression", type=Path, help="matrix of the new patients, read as the training's")
    predict.add_argument("--orientation", help="genes_by_samples or samples_by_genes, where not as the training's")
    predict.add_argument("--sample-ids", dest="sample_ids", help="patient or tcga, where not as the training's")
    predict.add_argument("--sheet", type=Path, help="sheet with patient, and site or clinical columns")
    predict.add_argument("--weights", type=Path, help="the encoder's weights, where training had them from a file")
    for name in ("protocol", "cohort", "encoder"):
        predict.add_argument(f"--{name}", help="of the run (the honest or the only one)")
    predict.add_argument("--methods", nargs="+", default=(), help="of the run (all)")
    predict.add_argument("--days", type=float, nargs="+", help="at which survival is given (365 730 1095 1825)")
    predict.add_argument("--coverage", type=float, help="that sets of classes aim at (0.9)")
    predict.add_argument("--missing-genes", dest="missing_genes", type=float, help="share that may be missing (0.1)")
    predict.add_argument("--threads", type=int, default=1, help="cores (1)")
    predict.set_defaults(command=_predict)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="embeddings, predictions or models of a finished run, for other tools")
    export.add_argument("what", choices=["embeddings", "predictions", "models"])
    export.add_argument("run", type=Path, help="results/<run>, of a finished run")
    export.add_argument("--to", choices=["parquet", "csv", "h5ad"], default="parquet", help="format (parquet)")
    export.add_argument("--out", type=Path, required=True, help="folder for the files")
    export.set_defaults(command=_export)


def _add_feature_formats(commands: Any) -> None:
    taken = commands.add_parser(
        "import-features", help="features of CLAM, slide2vec, lazyslide or STAMP 2 to <slide_id>.h5"
    )
    taken.add_argument("folder", type=Path, help="pt_files, tile_embeddings, *.zarr or STAMP's h5 files lie in it")
    taken.add_argument("--out", type=Path, required=True, help="folder for <slide_id>.h5")
    taken.add_argument("--slides", type=Path, help="sheet with slide_id and mpp, for coordinates in micrometres")
    taken.add_argument("--table", default="", help="which table of a zarr store, such as uni_tiles")
    taken.set_defaults(command=_import_features)
    given = commands.add_parser(
        "export-features", help="<slide_id>.h5 to the layout of CLAM, slide2vec, STAMP, TRIDENT, lazyslide"
    )
    given.add_argument("folder", type=Path, help="folder of <slide_id>.h5")
    given.add_argument("--to", required=True, choices=["clam", "slide2vec", "stamp", "trident", "lazyslide"])
    given.add_argument("--out", type=Path, required=True)
    given.set_defaults(command=_export_features)


def _import_features(options: argparse.Namespace) -> int:
    from mirrorflow.reuse.feature_formats import import_features
    from mirrorflow.store.slide_sheet import read_slide_sheet

    rows = read_slide_sheet(options.slides) if options.slides else []
    mpp = {row.slide_id: row.mpp for row in rows if row.mpp is not None}
    layout, count, placed = import_features(options.folder, options.out, mpp, options.table)
    sys.stdout.write(f"{count} slides of {layout}, coordinates of {placed}: {options.out}\n")
    return 0


def _export_features(options: argparse.Namespace) -> int:
    from mirrorflow.reuse.feature_formats import export_features

    count = export_features(options.folder, options.to, options.out)
    sys.stdout.write(f"{count} slides in the layout of {options.to}: {options.out}\n")
    return 0


def _export(options: argparse.Namespace) -> int:
    from mirrorflow.reuse.export import export
    from mirrorflow.reuse.run_folder import open_run

    written = export(open_run(options.run), options.what, options.to, options.out)
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from mirrorflow.commands.predict import predict

    return predict(vars(options))


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="simulated patients whose truth is known: how often verdicts are wrong, what parts are worth",
        description="Prints a table and name=value lines. `mirrorflow bench list` names the scenarios.",
    )
    bench.add_argument("scenario", help="its name, or list")
    bench.add_argument("--patients", type=int, help="of a study (each scenario has its own number)")
    bench.add_argument("--events", type=int, help="of a study")
    bench.add_argument("--datasets", type=int, help="studies that are drawn")
    bench.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (1000)")
    bench.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    bench.set_defaults(command=_bench)


def _bench(options: argparse.Namespace) -> int:
    from mirrorflow.bench.request import Request
    from mirrorflow.commands.bench import run_bench

    sizes = {key: getattr(options, key) for key in ("patients", "events", "datasets", "resamples", "seed")}
    return run_bench(options.scenario, Request(**sizes))


def _preflight(options: argparse.Namespace) -> int:
    from mirrorflow.commands.preflight.preflight import preflight

    return preflight(
        options.configfiles,
        patches_per_second=options.patches_per_second,
        cores=options.cores,
        strict=options.strict,
        table=options.table,
    )


def _clean(options: argparse.Namespace) -> int:
    from mirrorflow.commands.clean import clean

    return clean(options.configfiles, options.what, yes=options.yes)


def _check(options: argparse.Namespace) -> int:
    from mirrorflow.commands.check import check_config

    return check_config(options.configfiles)


def _audit(options: argparse.Namespace) -> int:
    from mirrorflow.commands.audit_files import AuditRequest, audit_files

    given = AuditRequest(options.splits, options.predictions, options.patients, options.institutions, options.slides)
    return audit_files(given, options.repair)


def _unlock(_options: argparse.Namespace) -> int:
    from mirrorflow.runtime.locks import clear_dead_lock

    return clear_dead_lock(Path.cwd())


def _reference(_options: argparse.Namespace) -> int:
    from mirrorflow.config.reference_page import reference

    sys.stdout.write(reference())
    return 0


def _import_checkpoint(options: argparse.Namespace) -> int:
    from mirrorflow.commands.import_checkpoint import import_checkpoint

    return import_checkpoint(options.checkpoint, options.folder)


def _fidelity(_options: argparse.Namespace) -> int:
    from mirrorflow.commands.fidelity import page

    sys.stdout.write(page())
    return 0


def _plan(options: argparse.Namespace) -> int:
    from mirrorflow.commands.plan import plan

    return plan(options.configfiles)


if __name__ == "__main__":
    sys.exit(main())
