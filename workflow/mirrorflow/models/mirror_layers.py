"""MIRROR beside its public code, layer by layer (docs/fidelity.md is written from it)."""

from mirrorflow.config.fidelity import Layer

LAYERS = (
    Layer("slide embedding", "linear to 768, ReLU; tokens repeated to the next square; [CLS] in front"),
    Layer(
        "slide attention",
        "twice LayerNorm (eps 1e-5) and Nystrom attention added: 8 heads, half the width as landmarks, 6 iterations, "
        "convolution of kernel 33 over the values, dropout 0.1; between them 7x7, 5x5 and 3x3 convolutions",
        "the same: {slide_heads} heads, dropout {dropout}; `landmarks: null` takes no more than a bag has tokens",
        "more landmarks than tokens would only pad; at 2,048 tokens and width 768 there are 384 in both",
    ),
    Layer("expression embedding", "linear to 1,536, GELU, LayerNorm (eps 1e-6), linear to 768; a gene token added"),
    Layer(
        "expression attention",
        "2 blocks over the 12 heads of the one vector, MLP ratio 2.572 (4.0 in the config's template), dropout 0.1; "
        "LayerNorms with eps 1e-6; heads interleaved before the output projection",
        "the same, MLP ratio {mlp_ratio}; heads one after the other",
        "columns of the projection in another order: `mirrorflow import-checkpoint` exchanges them",
    ),
    Layer("alignment", "unit vectors, then a linear layer each; InfoNCE both ways on the products times tau"),
    Layer("tau", "exp of a learned number that starts at log(1 / 0.07), held in [0, log 100] after each step"),
    Layer(
        "slide retention",
        "linear; 75 % of the patch tokens give way to a mask token; positions; a block as in the encoder; LayerNorm; "
        "linear; squared error on masked tokens",
        "the same, {slide_mask_ratio} of them",
    ),
    Layer(
        "RNA retention",
        "the same on 75 % of the vector's entries, with one mask number and a block as in the encoder",
        "the same, {rna_mask_ratio} of them",
    ),
    Layer(
        "style encoder",
        "linear to 512, GELU, linear to 256, nothing after it; linear to mean and log-variance of 128; sampled; linear",
        "the same, of widths {style_widths}",
    ),
    Layer("prototypes", "3,000, orthogonal start, rows of length 1 before each step", "{prototypes}, the same"),
    Layer(
        "objective",
        "0.5 alignment, 0.15 and 0.15 retention, 0.1 style, 0.05 and 0.05 cluster (the code's halves and weights)",
        "the same (`objective: {objective}`); `equations` weighs as the paper prints it",
    ),
    Layer(
        "start",
        "Xavier uniform and bias 0 for linear layers of slide encoder, slide retention and slide alignment; in the RNA "
        "retention block attention output and second MLP weights divided by sqrt 2; torch's own elsewhere",
    ),
    Layer(
        "training",
        "Adam at 2e-5, batch 16, 100 epochs, no decay, no schedule; the last incomplete batch kept; float16 autocast",
        "Adam at {learning_rate}, batch {batch_size}, {epochs} epochs; a last batch of one unit joins the one before; "
        "{precision}",
        "a batch of one has no negative; float32 computes the same, rounded less",
    ),
    Layer(
        "evaluation of an epoch",
        "without dropout, with styles sampled and patches and masks drawn anew",
        "the same (`evaluation_draws: {evaluation_draws}`)",
    ),
    Layer(
        "epoch that is kept",
        "both the one with the least evaluation loss and the last are saved; its tools read the last",
        "a protocol's `pretraining_epoch`: last, or best_on_evaluation (`paper`)",
        "which one was reported is not known",
    ),
    Layer(
        "probe",
        "linear head from N(0, 0.01); Adam at 2e-3 (survival 3e-3), 100 epochs; no more units than a batch of 16 go in "
        "batches of the power of two below; last incomplete batches dropped, in evaluation, too",
        "the same; `probe.drop_last` and the protocol's `evaluate_all` say what is dropped",
        "under `honest` no evaluation patient is left out",
    ),
)
