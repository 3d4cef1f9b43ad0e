"""The weighted sum that MIRROR minimises (Eq. 22), in the two forms that exist.

``reference``: 0.5 alignment + 0.15 slide retention + 0.15 RNA retention + 0.1 (KL_S + KL_T) + 0.05 (KL(S||T)
+ KL(T||S)), the objective behind the published numbers. ``equations``: Eqs. 14, 15, 19, 20 and 22 with the
printed weights, which give 0.2 and 0.2 for the last two.
"""

from dataclasses import dataclass

from torch import Tensor

from mirrorflow.models import losses
from mirrorflow.models.paired import PairedOutput
from mirrorflow.models.retention import Retention
from mirrorflow.models.settings import MirrorSettings
from mirrorflow.models.style import Style


@dataclass(frozen=True)
class MirrorOutput(PairedOutput):
    """What the losses need. A part whose loss is off is None; *_scores: [batch, prototype]."""

    slide_retention: Retention | None = None
    rna_retention: Retention | None = None
    slide_style: Style | None = None
    rna_style: Style | None = None
    slide_scores: Tensor | None = None
    rna_scores: Tensor | None = None


STYLE_SHARE = {"reference": 0.5, "equations": 1.0}
CLUSTER_SHARE = {"reference": 0.25, "equations": 1.0}


def loss_weights(settings: MirrorSettings) -> dict[str, float]:
    """Weight of each term as it enters the total, by the settings' objective and lambdas."""
    retention = settings.retention_weight / 2  # the 1/2 of Eq. 14
    style = settings.style_clustering_weight
    return {
        "alignment": settings.alignment_weight,
        "slide_retention": retention,
        "rna_retention": retention,
        "style": style * STYLE_SHARE[settings.objective],
        "cluster": style * CLUSTER_SHARE[settings.objective],
    }


def term_names(settings: MirrorSettings) -> list[str]:
    """The terms that are switched on."""
    module = {"slide_retention": "retention", "rna_retention": "retention"}
    return [name for name in loss_weights(settings) if module.get(name, name) in settings.losses]


def unit_terms(output: MirrorOutput, settings: MirrorSettings) -> dict[str, Tensor]:
    """The unweighted terms that are switched on, by name; InfoNCE apart, which is no mean over units."""
    terms: dict[str, Tensor] = {}
    for name in ("slide_retention", "rna_retention"):
        part: Retention | None = getattr(output, name)
        if part is not None:
            terms[name] = losses.retention_loss(*part)
    return terms | _style_terms(output, settings)


def _style_terms(output: MirrorOutput, settings: MirrorSettings) -> dict[str, Tensor]:
    slide, rna = output.slide_style, output.rna_style
    if slide is None or rna is None:
        return {}
    terms: dict[str, Tensor] = {}
    if slide.log_variance is not None and rna.log_variance is not None:
        terms["style"] = losses.style_loss(slide.mean, slide.log_variance)
        terms["style"] = terms["style"] + losses.style_loss(rna.mean, rna.log_variance)
    if output.slide_scores is not None and output.rna_scores is not None:
        terms["cluster"] = losses.cluster_loss(output.slide_scores, output.rna_scores)
    elif "cluster" in settings.losses:
        terms["cluster"] = losses.hard_alignment_loss(slide.z, rna.z)
    return terms
