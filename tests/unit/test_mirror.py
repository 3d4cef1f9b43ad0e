import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mirrorflow.errors import ConfigError
from mirrorflow.models.mirror import DownstreamModel, Mirror, MirrorSettings, build_mirror
from mirrorflow.models.paired import total_loss
from mirrorflow.models.retention import random_mask
from mirrorflow.models.rna import HeadAttention
from mirrorflow.models.style import Prototypes

PUBLISHED = MirrorSettings(patch_dim=768, gene_count=10_234)
TINY = MirrorSettings(
    patch_dim=6, gene_count=10, width=48, tokens=9, prototypes=20, style_widths=(16, 12, 8), attention="exact"
)
TERMS = ["alignment", "slide_retention", "rna_retention", "style", "cluster"]


def variant(**changes) -> MirrorSettings:
    return dataclasses.replace(TINY, **changes)


def inputs(batch: int = 3, patches: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, patches, 6, generator=generator), torch.randn(batch, 10, generator=generator)


def terms_of(settings: MirrorSettings) -> dict[str, torch.Tensor]:
    model = build_mirror(settings, 0)
    output = model(*inputs(), generator=torch.Generator().manual_seed(1))
    return model.loss_terms(output)


def parameter_count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def gflops(module: torch.nn.Module) -> float:
    patches, genes = torch.empty(1, 2048, 768, device="meta"), torch.empty(1, 10_234, device="meta")
    with FlopCounterMode(display=False) as counter:
        module(patches, genes)
    return counter.get_total_flops() / 1e9


def test_parameters_and_operations_are_the_published_ones():
    with torch.device("meta"):
        mirror = Mirror(PUBLISHED)
        downstream = DownstreamModel(mirror, outputs=2)
    assert parameter_count(mirror) == 48_972_351
    assert parameter_count(downstream) == 33_096_064
    assert gflops(mirror) == pytest.approx(139.09, abs=0.005)
    assert gflops(downstream) == pytest.approx(90.40, abs=0.005)


def test_an_mlp_ratio_of_4_does_not_give_the_published_count():
    with torch.device("meta"):
        assert parameter_count(Mirror(dataclasses.replace(PUBLISHED, mlp_ratio=4.0))) != 48_972_351


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
@pytest.mark.parametrize("objective", ["reference", "equations"])
def test_every_parameter_of_either_form_gets_a_gradient(attention, objective):
    settings = variant(attention=attention, objective=objective)
    model = build_mirror(settings, 0)
    terms = model.loss_terms(model(*inputs(), generator=torch.Generator().manual_seed(0)))
    total_loss(terms, model.loss_weights()).backward()
    assert list(terms) == model.term_names() == TERMS
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (("alignment",), ["alignment"]),
        (("alignment", "retention"), TERMS[:3]),
        (("alignment", "style", "cluster"), ["alignment", "style", "cluster"]),
        (("retention",), TERMS[1:3]),
        (("style",), ["style"]),
        (("cluster",), ["cluster"]),
        (("alignment", "retention", "style", "cluster"), TERMS),
    ],
)
def test_any_subset_of_losses(losses, expected):
    terms = terms_of(variant(losses=losses))
    assert list(terms) == build_mirror(variant(losses=losses), 0).term_names() == expected
    assert all(term.isfinite() for term in terms.values())


def test_a_loss_that_is_off_builds_no_module():
    model = build_mirror(variant(losses=("alignment",)), 0)
    assert model.slide_retention is model.rna_retention is model.style is model.prototypes is None
    assert build_mirror(variant(losses=("retention",)), 0).alignment is None


def test_without_the_style_loss_the_style_encoder_is_deterministic():
    settings = variant(losses=("alignment", "cluster"), dropout=0.0)
    model = build_mirror(settings, 0).train()
    first, second = (model(*inputs()).slide_style.z for _ in range(2))
    torch.testing.assert_close(first, second)
    stochastic = build_mirror(variant(dropout=0.0), 0).train()
    first, second = (
        stochastic(*inputs(), generator=torch.Generator().manual_seed(seed)).slide_style.z for seed in range(2)
    )
    assert not torch.allclose(first, second)


def test_hard_alignment_replaces_the_prototypes():
    settings = variant(clustering="hard")
    assert build_mirror(settings, 0).prototypes is None
    assert 0 <= terms_of(settings)["cluster"].item() <= 2


def test_same_patient_negatives_are_a_setting():
    patients = torch.tensor([0, 0, 1])
    terms = {}
    for choice in ("keep", "drop"):
        model = build_mirror(variant(same_patient_negatives=choice), 0).eval()
        output = model(*inputs(), generator=torch.Generator().manual_seed(0))
        terms[choice] = model.loss_terms(output, patients)["alignment"]
    assert terms["drop"] < terms["keep"]


def test_weights_are_interchangeable_between_attention_forms():
    exact, nystrom = build_mirror(TINY, 0), build_mirror(variant(attention="nystrom"), 1)
    nystrom.load_state_dict(exact.state_dict())
    patches, genes = inputs()
    with torch.inference_mode():
        torch.testing.assert_close(nystrom.eval().encode(patches, genes)[1], exact.eval().encode(patches, genes)[1])


def test_building_follows_from_the_seed_alone():
    before = torch.random.get_rng_state()
    first = build_mirror(TINY, 5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    second = build_mirror(TINY, 5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(build_mirror(TINY, 6).rna_encoder.embed[0].weight, first["rna_encoder.embed.0.weight"])


def test_encode_gives_one_vector_a_modality():
    model = build_mirror(TINY, 0).eval()
    slide, rna = model.encode(*inputs(batch=2, patches=1))
    assert slide.shape == rna.shape == (2, 48)
    padded = torch.cat([inputs(2, 1)[0], torch.full((2, 8, 6), 7.0)], dim=1)
    again, _ = model.encode(padded, inputs(2, 1)[1], counts=torch.tensor([1, 1]))
    torch.testing.assert_close(again, slide)


def test_losses_of_a_padded_batch_do_not_see_the_padding():
    model = build_mirror(variant(slide_mask_ratio=1.0), 0).eval()
    patches, genes = inputs(batch=2, patches=5)
    counts = torch.tensor([5, 3])
    other = patches.clone()
    other[1, 3:] = 1e3
    first, second = (
        model.loss_terms(model(p, genes, counts=counts, generator=torch.Generator().manual_seed(0)))
        for p in (patches, other)
    )
    assert {name: term.item() for name, term in first.items()} == pytest.approx(
        {name: term.item() for name, term in second.items()}
    )


def test_random_mask_hides_the_ratio_and_never_padding():
    like = torch.zeros(50, 8)
    masked = random_mask(like, 0.75, None, torch.Generator().manual_seed(0))
    assert set(masked.sum(dim=1).tolist()) == {6}
    assert masked.any(dim=0).all()
    masked = random_mask(like[:3], 0.75, torch.tensor([8, 5, 1]), torch.Generator().manual_seed(0))
    # What is kept is rounded down: 2 of 8, 1 of 5, 0 of 1.
    assert masked.sum(dim=1).tolist() == [6, 4, 1]
    assert not masked[1, 5:].any()
    assert masked[2].tolist() == [True] + [False] * 7


def test_cls_is_never_masked_and_the_target_is_the_encoders_output():
    model = build_mirror(TINY, 0).eval()
    patches, genes = inputs()
    output = model(patches, genes, generator=torch.Generator().manual_seed(0))
    tokens = model.slide_encoder(patches)
    assert output.slide_retention.masked.shape == (3, 9)
    torch.testing.assert_close(output.slide_retention.target, tokens[:, 1:])
    torch.testing.assert_close(output.rna_retention.target, output.rna)


def test_heads_of_one_vector_attend_to_one_another():
    attention = HeadAttention(4, 2, dropout=0.0)
    vector = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    q, k, v = attention.to_qkv(vector)[0].view(3, 2, 2)
    mixed = ((q @ k.T) / 2**0.5).softmax(dim=1) @ v
    torch.testing.assert_close(attention(vector)[0], attention.to_out(mixed.reshape(-1)))


def test_prototypes_start_orthogonal_and_are_normalised_again():
    prototypes = Prototypes(4, 6)
    torch.testing.assert_close(prototypes.centres @ prototypes.centres.T, torch.eye(4), atol=1e-6, rtol=0)
    with torch.no_grad():
        prototypes.centres.mul_(3)
    prototypes.normalise()
    torch.testing.assert_close(prototypes.centres.norm(dim=1), torch.ones(4))


def test_patch_scaling_travels_with_the_weights():
    model = build_mirror(TINY, 0).eval()
    patches, genes = inputs()
    plain, _ = model.encode(patches, genes)
    model.scale_patches(torch.full((6,), 2.0), torch.full((6,), 3.0))
    copy = build_mirror(TINY, 1).eval()
    copy.load_state_dict(model.state_dict())
    torch.testing.assert_close(copy.encode(patches * 3 + 2, genes)[0], plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 60}, "width 60 is not divisible by slide_heads 8"),
        ({"width": 64}, "width 64 is not divisible by rna_heads 12"),
        ({"attention": "linear"}, "attention is 'linear'; allowed: nystrom, exact"),
        ({"losses": ("aligment",)}, "losses is .*aligment.*; name at least one of alignment"),
        ({"losses": ()}, "name at least one"),
        ({"slide_mask_ratio": 0.0}, "slide_mask_ratio is 0.0"),
        ({"gene_count": 0}, "gene_count is 0"),
        ({"style_widths": (8, 8)}, "style_widths"),
    ],
)
def test_impossible_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        variant(**changes)


def test_more_patches_than_positions_are_refused():
    with pytest.raises(ConfigError, match="bag of 12 patches, but tokens is 9"):
        build_mirror(TINY, 0)(*inputs(patches=12))


def test_landmarks_are_half_the_width_but_never_more_than_tokens():
    assert PUBLISHED.landmark_count == 384
    assert dataclasses.replace(PUBLISHED, tokens=64).landmark_count == 65
    assert dataclasses.replace(PUBLISHED, tokens=64, landmarks=96).landmark_count == 96
