"""The run: its config, resolved, and the objects whose methods are inputs and params of rules. Free of torch."""

import sys
from pathlib import Path

PACKAGE = str(Path(workflow.basedir) / "workflow")
sys.path.insert(0, PACKAGE)
from mirrorflow.config import versions
from mirrorflow.config.methods import names_digest
from mirrorflow.config.modalities import left_out_lines
from mirrorflow.config.resources import resource_digest
from mirrorflow.plan import paths, store_paths
from mirrorflow.plan.attributions import AttributionInputs, AttributionsFolder
from mirrorflow.plan.cases import Cases
from mirrorflow.plan.causes import CauseInputs, UnknownCauses
from mirrorflow.plan.checks import StoredChecks
from mirrorflow.plan.cohorts import CohortInputs, SplitInputs
from mirrorflow.plan.explained import ExplainedFolder, ExplainInputs
from mirrorflow.plan.field import FieldInputs, FieldPictures
from mirrorflow.plan.figures import FigureInputs, PermutedRecord
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.given_states import GivenStates
from mirrorflow.plan.modalities import TABLE as GAP_TABLE
from mirrorflow.plan.modalities import MapInputs, MapsFolder
from mirrorflow.plan.models import ModelInputs, PairInputs
from mirrorflow.plan.new_patients import NewPatientsInputs, NewPatientsPage
from mirrorflow.plan.predictions import AuditInputs, PredictionInputs
from mirrorflow.plan.prototypes import PrototypeInputs, PrototypesFolder
from mirrorflow.plan.results import ReportInputs, TableInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.session import before_jobs, hold_stored, jobs_of, resolved, say_left_out
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.targets import all_targets
from mirrorflow.plan.wildcards import NAME, any_of, growing
from mirrorflow.runtime.locks import own_jobs
from mirrorflow.runtime.slurm_arrays import become_own_task
from mirrorflow.steps.start import run_here
from mirrorflow.tables.compared import settings_compared

own_jobs(PACKAGE, workflow.global_resources.get("gpu"))
config = resolved(config, workflow.configfiles)

RUN = Run(config)
COHORTS = CohortInputs(RUN)
SLIDES = SlideInputs(RUN)
SPLITS = SplitInputs(RUN)
GENES = GeneInputs(RUN)
MODELS = ModelInputs(RUN)
PAIRS = PairInputs(RUN, MODELS)
PREDICTIONS = PredictionInputs(RUN)
AUDIT = AuditInputs(RUN, SPLITS, GENES, MODELS, PREDICTIONS)
TABLES = TableInputs(RUN)
CAUSES = CauseInputs(RUN, MODELS, PREDICTIONS)
FIELD = FieldInputs(RUN, PREDICTIONS)
PROTOTYPES = PrototypeInputs(RUN, PREDICTIONS)
EXPLAINED = ExplainInputs(RUN, MODELS, PREDICTIONS)
ATTRIBUTIONS = AttributionInputs(RUN, EXPLAINED)
MAPS = MapInputs(RUN, MODELS, EXPLAINED)
FIGURES = FigureInputs(RUN, COHORTS, GENES, MODELS)
REPORT = ReportInputs(RUN, GENES, MODELS)
NEW_PATIENTS = NewPatientsInputs(RUN)

GIVEN = GivenStates(RUN, COHORTS, SLIDES)
STORED = StoredChecks(RUN, COHORTS, SLIDES, PREDICTIONS)
hold_stored(STORED)
say_left_out(config)

# what each job serves: all cases of a rule, or one
CASES = Cases(RUN, GENES, MODELS, AUDIT)
JOBS = jobs_of(RUN, workflow.resource_settings)
PATCHED = JOBS.of("patch_slides", CASES.patches, each=config["slides"]["workers"])
EXTRACTED = JOBS.of("extract_features", CASES.features, each=8)
SPLITS_MADE = JOBS.of("make_splits", CASES.scopes, part=2)
SUPPORT_DRAWN = JOBS.of("draw_support", CASES.scopes, part=2)
GENES_SELECTED = JOBS.of("select_genes", CASES.selections, each=2)
PRETRAINED = JOBS.of("pretrain_mirror", CASES.trainings, each=8)
EMBEDDED = JOBS.of("embed", CASES.embeddings, each=8, spread=True)
PROBED = JOBS.of("probe_mirror", CASES.probes, part=2)
FITTED = JOBS.of("fit_baseline", CASES.baselines)
TRAINED = JOBS.of("train_supervised", CASES.supervised, each=8, spread=True)
AUDITED = JOBS.of("audit", CASES.evaluated, part=2)
EVALUATED = JOBS.of("evaluate", CASES.evaluated, part=2)

LOGS = RUN.logs
BENCHMARKS = RUN.benchmarks
at = RUN.at


wildcard_constraints:
    cohort=any_of(RUN.cohorts),
    protocol=any_of(RUN.protocols),
    scope=any_of(RUN.scopes),
    patching=NAME,
    encoder=NAME,
    source=NAME,
    method=any_of(RUN.methods),
    fold=r"\d+",
    variant=f"(({any_of(RUN.own_genes)})/)?",
    genes=r"(few-shot-|inner\d+-)?",
    seed=r"\d+",
    shard=r"\d+",
