"""Versions of the algorithms, free of heavy imports.

A rule names its algorithm's version among its params (``params: version=versions.FEATURES``): raise the
number when the same settings no longer give the same values, and exactly the rules that depend on the
algorithm run again. A change that moves no value (speed, messages) leaves it alone.
"""

SIMULATION = 1
SEGMENTATION = 1
SCALE = 2
"""Where a slide's scale comes from. Patches are kept where it is the scale that they were made with."""
FEATURES = 1
INDEX = 5
EXPRESSION = 2
SELECTION = 2
COHORT = 4
SPLITS = 3
PRETRAIN = 1
EMBED = 1
PROBE = 4
BASELINES = 4
PERMUTATION = 2
"""Of whole cross-validations with traded outcomes, beside that of the method."""
SUPERVISED = 4
ADAPTATION = 4
HAZARDS_CHOICE = 2
"""How ``epoch: least_loss_on_evaluation`` judges what is trained on hazards: of predictions under it alone."""
SPARED_VECTORS = 2
"""Which weights ``train.decay: matrices`` spares in MMP, SurvPath and SNNTrans: of theirs alone."""
COX_NETWORKS = 2
"""Of networks that are trained on Cox's loss, alone: Breslow's baseline, the released choice without an event, what
cannot be trained.
"""
UNDEFINED_CHOICE = 2
"""What ``epoch: best_on_evaluation`` takes where no unit can be ranked: of predictions under it alone."""
METRICS = 8
SENSITIVITY = 1
NEW_PATIENTS = 2
AUDIT = 9
TABLES = 10
REPORT = 13
EXPLAIN = 3
ATTRIBUTIONS = 4
MAPS = 2
