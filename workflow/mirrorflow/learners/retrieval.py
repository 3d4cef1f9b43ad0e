"""How well units left out of a pretraining are retrieved across modalities: a diagnosis, nothing is chosen by it."""

import json
import logging
from pathlib import Path

import numpy as np
import torch

from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.learners.inputs.paired import PairedUnits
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.runtime.files import write_text
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.retrieval import retrieval_report

logger = logging.getLogger("mirrorflow.pretraining")

RETRIEVAL = "retrieval.json"


def report_retrieval(
    folder: Path,
    model: PairedNetwork,
    held_out: PairedUnits,
    genes: np.ndarray,
    training: PretrainSettings,
    device: str,
) -> None:
    """Write ``retrieval.json`` into a model's folder; nothing with fewer than two units or no temperature."""
    if len(held_out.names) < 2 or np.isnan(model.tau()):
        return
    settings = EmbedSettings(tokens=training.tokens, short=training.short, batch_size=training.batch_size)
    bags = held_out.bags(0)
    embeddings = embed(model, bags, genes, held_out.names, settings, seed=training.seed, device=device)
    model.cpu()
    with torch.inference_mode():
        slide, rna = model.align(torch.from_numpy(embeddings.slide[0]), torch.from_numpy(embeddings.rna[0]))
    report = retrieval_report(slide.numpy(), rna.numpy(), held_out.patients)
    logger.info(
        "%s: slide -> RNA recall@1 %.3f on %d units left out (chance %.3f)",
        folder,
        report["slide_to_rna_recall@1"],
        len(held_out.names),
        report["chance_recall@1"],
    )
    write_text(folder / RETRIEVAL, json.dumps(report, indent=2) + "\n")
