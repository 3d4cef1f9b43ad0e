"""Coefficients of a linear method's genes: what stands beside integrated gradients, which of it are the same."""

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.learners.registry import MODEL
from mirrorflow.learners.saved import SavedModel
from mirrorflow.probes.fitted import matrix_of, pca_of
from mirrorflow.store.model_files import part_of_arrays

FAMILIES = ("linear", "cox")
"""Those with a coefficient a gene."""


def gene_coefficients(saved: SavedModel) -> dict[str, float]:
    """Gene -> absolute coefficient of one standard deviation of it, a mean over classes.

    Raises InputError for a model without coefficients: one training class, another family, no genes.
    """
    arrays, genes = part_of_arrays(saved.arrays, MODEL), saved.genes
    if saved.config["family"] not in FAMILIES or not genes:
        message = f"{saved.folder}: {saved.config['method']} has no coefficients of genes"
        raise InputError(message)
    if saved.config["family"] == "cox":
        found = (arrays["coefficients"] @ pca_of(arrays).components_)[None]
    elif "slope" in arrays:
        found = np.asarray(arrays["slope"])[None]
    elif "classes" in arrays:
        found = matrix_of(arrays, "coefficients")
    else:
        message = f"{saved.folder}: was fitted on one class, and has no coefficients"
        raise InputError(message)
    of_genes = np.abs(found[:, found.shape[1] - len(genes) :]).mean(0)  # slides stand before genes
    return dict(zip(genes, of_genes.tolist(), strict=True))
