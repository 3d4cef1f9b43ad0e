"""What TTA's released code does, layer by layer, and what is done here (described in its files at commit f847140)."""

from mirrorflow.config.fidelity import Layer

LAYERS = (
    Layer(
        "tokens",
        "patches: linear to 256, leaky ReLU 0.1, dropout 0.3; pathways: the same, a layer each; genes standardised on "
        "training patients",
        "the same, width {width}",
    ),
    Layer(
        "shared space",
        "5 linear projections a modality to 256, l2-normalised; 32 prototypes from N(0, 1); cosine / 0.5",
        "{heads} projections, {prototypes} prototypes, cosine / {temperature}",
    ),
    Layer(
        "transport",
        "mass rho in 32 columns with gamma 1, the rest in a sink; token similarity of weight 0.1 by "
        "majorise-minimise; at most 1,000 sweeps; no plan for slides with padding, and one sweep for their whole batch",
        "gamma {gamma}, similarity {semantic}; solved by Newton until it converges; padding is masked",
        "the paper has 0.1 and no similarity; padding makes the public plan NaN, which becomes 0; preset `released` "
        "sets the public weights and has no plan for slides of fewer than 4,096 tokens",
    ),
    Layer(
        "curriculum",
        "rho from 0.106 to 1 over 10 epochs; 0.106 at every evaluation",
        "the same ramp; at evaluation that of the last training step",
        "the public evaluation does not pass the step; preset `released` does as it does",
    ),
    Layer(
        "weights",
        "half softmax, half plan times the number of tokens; rows then made to add up to 1",
        "half softmax, half plan times the number of tokens",
        "rows that add up to 1 undo the curriculum's choice of tokens",
    ),
    Layer(
        "pseudo-labels",
        "soft cross-entropy on rows that add up to 1, weight 0.5 a modality",
        "on rows that add up to the token's mass",
        "as in the published log, rho 0.5 ln 32 at the start; a token that nothing takes teaches nothing",
    ),
    Layer(
        "refiner and co-attention",
        "LayerNorm, one head of 256 without bias or output projection, feed-forward, LayerNorm; no residual; slides' "
        "attention to pathways goes through two softmaxes",
        "the same with one softmax",
        "the second softmax flattens what the first chose",
    ),
    Layer(
        "contrast",
        "anchors are made unit vectors; temperature 0.1, weight 0.5",
        "anchors go through phi, too; temperature {contrast_temperature}, weight {contrast_weight}",
        "Eq. 18 has it so",
    ),
    Layer(
        "views",
        "4 patients of a batch, two parts of 80 % of their tokens with 20 % exchanged; every third batch for slides; "
        "weight 0.01; the best head is used in the next epoch; padding counts as tokens",
        "4 patients, two parts of 80 % drawn apart; padding does not count",
        "what is exchanged is not described; padding is no token",
    ),
    Layer(
        "training",
        "AdamW at 1e-4, decay 1e-5 but of biases and vectors, batch 32, 30 epochs, 15 of warm-up, cosine, gradients "
        "cut at 5; Cox over random batches; the epoch of least loss on the test fold from 6 on, with the last head",
        "the same rate, batch, epochs and cut, 1 epoch of warm-up; all weights decay; every batch has its share of "
        "events; the epoch is the protocol's",
        "warm-up and decay are in the code alone; an epoch chosen on the test fold is a leak",
    ),
)
