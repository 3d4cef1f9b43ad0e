"""MIRROR's losses as pure functions, each beside its equation. All return a float32 scalar.

Two printed statements do not hold and are not relied on: the second equality of Eq. 19 (a symmetric KL is
not 2 JSD and has no upper bound; what holds is KL + KL >= 4 JSD) and Eq. 34 (-I <= 0 <= g is vacuous, so
the cluster loss bounds no mutual information).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def alignment_loss(slide: Tensor, rna: Tensor, tau: Tensor, patients: Tensor | None = None) -> Tensor:
    """Alignment loss, Eq. 8 of MIRROR: symmetric InfoNCE on raw products [batch, width] times tau.

    ``patients`` [batch] (a number each) drops negatives that are the same patient's, e.g. two slides of
    one; None keeps them, as published.
    """
    logits = tau.float() * (slide.float() @ rna.float().T)
    pairs = torch.arange(len(logits), device=logits.device)
    if patients is not None:
        siblings = patients[:, None] == patients[None, :]
        siblings = siblings & (pairs[:, None] != pairs[None, :])
        logits = logits.masked_fill(siblings, float("-inf"))
    return 0.5 * (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs))


def retention_loss(prediction: Tensor, target: Tensor, masked: Tensor) -> Tensor:
    """Retention loss of one modality, Eq. 14 of MIRROR: MSE over masked entries, mean over the batch.

    ``masked`` [batch, entry] is True where it counts; prediction and target are [batch, entry] or
    [batch, entry, width]. The gradient flows into the target, as published.
    """
    errors = (prediction.float() - target.float()).square()
    if errors.ndim == 3:
        errors = errors.mean(dim=2)
    weights = masked.to(errors.dtype)
    return ((errors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)).mean()


def style_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Style loss of one modality, Eq. 15 of MIRROR: KL(N(mu, sigma^2) || N(0, 1)), mean over the batch.

    1/2 sum over dimensions of (exp(s) + mu^2 - 1 - s), s the log-variance; zero exactly at mu 0, s 0.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1).mean()


def cluster_loss(slide_scores: Tensor, rna_scores: Tensor) -> Tensor:
    """Cluster loss, Eq. 19 of MIRROR: KL(S || T) + KL(T || S) of softmax assignments, mean over the batch.

    Scores are [batch, prototype]. The two terms share sum((S - T) (log S - log T)).
    """
    slide, rna = slide_scores.float().log_softmax(dim=1), rna_scores.float().log_softmax(dim=1)
    return ((slide.exp() - rna.exp()) * (slide - rna)).sum(dim=1).mean()


def hard_alignment_loss(slide_z: Tensor, rna_z: Tensor) -> Tensor:
    """Stand-in for Table VI's hard alignment, whose loss is not published: 1 - cosine of paired styles.

    Ours, declared as such; mean over the batch of [batch, width].
    """
    return 1 - F.cosine_similarity(slide_z.float(), rna_z.float(), dim=1).mean()
