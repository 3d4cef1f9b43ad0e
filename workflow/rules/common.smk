"""The config, resolved; names and paths that several rule files share. Free of torch."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

PACKAGE = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGE)
from mirrorflow.config import versions
from mirrorflow.config.adaptation import adapted_cohorts
from mirrorflow.config.protocols import SCOPE_KEYS, SINGLE_CHANGE, scope_of
from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.queries import (
    encoders_of,
    few_shot_prefix,
    gene_variant,
    inner_prefixes,
    methods_under,
    prefixes_of,
    pretrain_settings,
    selection_of,
    shots_of,
    split_source,
)
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.slurm_arrays import become_own_task, check_array_jobs, slurm_remembers_s
from mirrorflow.runtime.locks import note_owner, own_jobs
from mirrorflow.config.methods import names_digest
from mirrorflow.config.resources import OUR_INSTITUTIONS, RESOURCES, TCGA_SITES, resource_digest
from mirrorflow.store.sheet_rows import patients_digest, rows_digest, shard_digest
from mirrorflow.tables.compared import settings_compared
from mirrorflow.tables.further import MAIN_TITLES, further_table, wanted_tables

own_jobs(PACKAGE)

try:
    config = resolve(config)
except MirrorflowError as error:
    raise WorkflowError(str(error))

STORE = config["store"]
RESULTS = f"results/{config['run']}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"

COHORTS = list(config["cohorts"])
ADAPTED = adapted_cohorts(config)
EVERY_COHORT = [*COHORTS, *ADAPTED]
PROTOCOLS = list(config["protocols"])
FOLDS = list(range(config["splits"]["folds"]))
SHARDS = list(range(config["slides"]["shards"]))
SINGLE_CHANGES = [name for name in PROTOCOLS if name.startswith(SINGLE_CHANGE)]
PRETRAINED = [name for name, method in config["methods"].items() if method["family"] in PRETRAINED_FAMILIES]
SUPERVISED = [name for name, method in config["methods"].items() if "train" in method]
BASELINES = [name for name in config["methods"] if name not in PRETRAINED + SUPERVISED]

OWN_GENES = [name for name in config["methods"] if gene_variant(config, name)]

NAME = "[a-z0-9._-]+"


def any_of(names):
    """A regular expression for exactly these names (never the empty one)."""
    import re

    return "|".join(map(re.escape, names)) or "no-such-name"


wildcard_constraints:
    cohort=any_of(COHORTS),
    protocol=any_of(PROTOCOLS),
    scope=any_of(sorted({scope_of(p) for p in config["protocols"].values()})),
    patching=NAME,
    encoder=NAME,
    source=NAME,
    method=any_of(config["methods"]),
    fold=r"\d+",
    variant=f"(({any_of(OWN_GENES)})/)?",
    genes=r"(few-shot-|inner\d+-)?",
    seed=r"\d+",
    shard=r"\d+",


def refuse_stalling_arrays():
    """Stop, before anything is submitted, where Slurm's array jobs would hang this run."""
    jobs = sum(1 for job in workflow.dag.needrun_jobs())
    try:
        check_array_jobs(workflow.executor_settings, workflow.resource_settings.nodes, jobs, slurm_remembers_s)
    except MirrorflowError as error:
        raise WorkflowError(str(error))


def start_local_jobs_at_once():
    """Take Snakemake's limit of submissions (100 a second) off a run on this machine, where the cores are the limit.

    While jobs wait for cores, that limit has every waiting job looked at again each second, once for each job that
    has ended so far (seen in 9.27): with thousands of jobs Snakemake itself would take a core. No setting does it:
    a profile's `max-jobs-per-timespan: null` is ignored, `0/1s` starts no job, and a longer span outlasts the run.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def growing(base):
    """A resource of ``base`` that grows with each attempt of a job: a job killed for memory or time gets more."""
    return lambda wildcards, attempt: base * attempt


def home_of(cohort):
    """The cohort whose patients, folds and genes a cohort has: an adapted one's target, else itself."""
    return ADAPTED[cohort]["target"] if cohort in ADAPTED else cohort


def evaluated():
    """Protocols and cohorts that predictions are made for, adapted cohorts last."""
    return [(protocol, cohort) for protocol in PROTOCOLS for cohort in COHORTS] + [
        (protocol, cohort) for cohort, pair in ADAPTED.items() for protocol in pair["protocols"]
    ]


def of_evaluated(pattern):
    """The pattern for every protocol and cohort."""
    return [pattern.format(protocol=protocol, cohort=cohort) for protocol, cohort in evaluated()]


def cohort_of(wildcards):
    """The config's entry of the wildcard's cohort; of an adapted one its target's."""
    return config["cohorts"][home_of(wildcards.cohort)]


def protocol_of(wildcards):
    """The resolved protocol of the wildcard."""
    return config["protocols"][wildcards.protocol]


def scope_keys(scope):
    """The keys a model scope stands for: unit, splits, gene_selection, rna_scaling, pretraining_epoch."""
    protocol = next(p for p in config["protocols"].values() if scope_of(p) == scope)
    return {key: protocol[key] for key in (*SCOPE_KEYS, "pretraining_epoch")}


def is_external(cohort, encoder):
    """Whether the encoder's features of a cohort were made elsewhere."""
    return encoder in config["cohorts"][cohort]["features"]


def own_encoders(cohort):
    """Encoders whose features this workflow makes for a cohort."""
    return [name for name in config["cohorts"][cohort]["encoders"] if not is_external(cohort, name)]


def patching_of(encoder):
    """The patch preset an encoder sees."""
    return config["features"]["encoders"][encoder]["patching"]


def expression_of(wildcards):
    """The cohort's expression matrix in the store."""
    return f"{STORE}/expression/{cohort_of(wildcards)['expression']}/{home_of(wildcards.cohort)}.parquet"
