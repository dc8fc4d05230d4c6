"""Models: R1 and R3 layer by layer, and one contract that every kind keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, distributions, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from vae_trainables import models
from vae_trainables.config import ModelConfig, TrialConfig
from vae_trainables.models import gaussians
from vae_trainables.models.hierarchical import HierarchicalAutoencoder
from vae_trainables.models.residual import ResidualBlock
from vae_trainables.models.sizes import scaled
from vae_trainables.objective import losses

KINDS: tuple[str, ...] = tuple(models.KINDS)
PLAIN = tuple(kind for kind in KINDS if kind.endswith("_ae"))
VARIATIONAL = tuple(kind for kind in KINDS if kind not in PLAIN)
SMALL: dict[str, Any] = {"hidden": (12,), "widths": (8, 12, 16), "blocks": 1, "latent_dim": 3}
LABELS = torch.tensor([3, 0, 9, 3, 1])

all_kinds = pytest.mark.parametrize("kind", KINDS)
variational_kinds = pytest.mark.parametrize("kind", VARIATIONAL)


def build(kind: str, seed: int = 0, **changes: Any) -> models.Autoencoder:
    torch.manual_seed(seed)
    return models.build(ModelConfig(kind=kind, **(SMALL | changes)))


def images(count: int = 5, channels: int = 1, side: int = 28) -> Tensor:
    return torch.rand((count, channels, side, side), generator=torch.Generator().manual_seed(1))


def noise(model: models.Autoencoder, count: int = 5, seed: int = 2) -> Tensor:
    return torch.randn((count, model.noise_dim), generator=torch.Generator().manual_seed(seed))


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def layers(model: nn.Module) -> list[str]:
    """The model's layers in order, one line each, without the shapeless ones."""
    leaves = [m for m in model.modules() if not list(m.children())]
    return [str(leaf) for leaf in leaves if not isinstance(leaf, nn.Flatten | nn.Unflatten)]


# The reference systems' networks, and a published one


def test_the_gated_network_is_the_published_one() -> None:
    """Counted by hand: values and gates of both layers each way, two heads, the pixels."""
    model = build("gated_mlp_vae", hidden=(300, 300), latent_dim=40)
    gated = 2 * (785 * 300 + 301 * 300) + 2 * (41 * 300 + 301 * 300)
    assert parameters(model) == gated + 2 * 301 * 40 + 301 * 784
    heads = [m.weight for m in (model.mean_head, model.logvar_head[0])]
    for weight in heads:
        assert float(weight.std()) == pytest.approx((2 / 300) ** 0.5, rel=0.05)


def test_a_gated_layer_multiplies_values_by_gates() -> None:
    model = build("gated_mlp_vae", hidden=(12,))
    x = images()
    layer = model.encoder[1]
    values, gates = (x.flatten(1) @ part.T for part in layer.weight.chunk(2))
    bias, bias_of_gates = layer.bias.chunk(2)
    hidden = (values + bias) * torch.sigmoid(gates + bias_of_gates)
    z_mean, z_logvar = model.encode(x)
    torch.testing.assert_close(z_mean, model.mean_head(hidden))
    torch.testing.assert_close(z_logvar, model.logvar_head[0](hidden).clamp(-6, 2))
    _, far = model.encode(1e4 * x)
    assert -6 <= float(far.min()) < float(far.max()) <= 2


@variational_kinds
def test_several_draws_of_an_image_are_its_draws_one_by_one(kind: str) -> None:
    model = build(kind).eval()
    x, k = images(), 4
    eps = noise(model, 5 * k)
    with torch.no_grad():
        together = model.drawn(x, eps, LABELS)
        alone = [
            model(x[i : i + 1].expand(k, -1, -1, -1), eps[i * k : (i + 1) * k], LABELS[[i] * k])
            for i in range(5)
        ]
    for part, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(part, torch.cat(parts), rtol=1e-4, atol=1e-5)


def test_r1_is_the_network_of_the_document() -> None:
    model = models.build(ModelConfig(kind="conv_vae", latent_dim=16))
    down = "kernel_size=(4, 4), stride=(2, 2), padding=(1, 1)"
    assert layers(model.encoder) == [
        f"Conv2d(1, 32, {down})",
        "ReLU()",
        f"Conv2d(32, 64, {down})",
        "ReLU()",
        f"Conv2d(64, 128, {down})",
        "ReLU()",
    ]
    assert (
        layers(model.mean_head)
        == layers(model.logvar_head)
        == ["Linear(in_features=1152, out_features=16, bias=True)"]
    )
    assert layers(model.decoder) == [
        "Linear(in_features=16, out_features=1152, bias=True)",
        "ReLU()",
        f"ConvTranspose2d(128, 64, {down}, output_padding=(1, 1))",
        "ReLU()",
        f"ConvTranspose2d(64, 32, {down})",
        "ReLU()",
        f"OneChannelTransposed(32, 1, {down})",
    ]
    assert parameters(model) == 385_505


def test_r1_passes_through_14_7_and_3_pixels_both_ways() -> None:
    model = models.build(ModelConfig(kind="conv_vae", latent_dim=16))
    seen: list[tuple[int, ...]] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    model(images())
    assert seen == [(32, 14, 14), (64, 7, 7), (128, 3, 3), (64, 7, 7), (32, 14, 14), (1, 28, 28)]


@pytest.mark.parametrize(("kind", "expected"), [("mlp_vae", 652_824), ("mlp_ae", 644_804)])
def test_r3_is_the_network_of_the_document(kind: str, expected: int) -> None:
    model = models.build(ModelConfig(kind=kind, hidden=(400,), latent_dim=20))
    assert layers(model.encoder) == [
        "Linear(in_features=784, out_features=400, bias=True)",
        "ReLU()",
    ]
    assert layers(model.mean_head) == ["Linear(in_features=400, out_features=20, bias=True)"]
    assert layers(model.decoder) == [
        "Linear(in_features=20, out_features=400, bias=True)",
        "ReLU()",
        "Linear(in_features=400, out_features=784, bias=True)",
    ]
    assert parameters(model) == expected


@pytest.mark.parametrize("kind", PLAIN)
def test_an_autoencoder_is_the_vae_without_its_variance(kind: str) -> None:
    plain = build(kind).state_dict()
    variational = build(kind.replace("_ae", "_vae"))  # type: ignore[arg-type]
    shapes = {name: tensor.shape for name, tensor in variational.state_dict().items()}
    without = {name: shape for name, shape in shapes.items() if "logvar" not in name}
    assert {name: tensor.shape for name, tensor in plain.items()} == without
    assert len(without) < len(shapes)


@pytest.mark.parametrize("kind", PLAIN)
def test_the_code_of_an_autoencoder_has_no_nonlinearity(kind: str) -> None:
    model = build(kind, latent_dim=16)
    code, _ = model.encode(images())
    torch.testing.assert_close(code, model.mean_head(model.encoder(images())))
    assert (code < 0).any()
    assert (code > 0).any()


# The contract of every kind


@all_kinds
@pytest.mark.parametrize("latent_dim", [1, 5])
def test_shapes(kind: str, latent_dim: int) -> None:
    model = build(kind, latent_dim=latent_dim)
    codes = (5, 3 * latent_dim if kind == "hier_conv_vae" else latent_dim)
    assert model.noise_dim == codes[1]
    z_mean, z_logvar = model.encode(images())
    output = model(images(), noise(model), LABELS)
    assert z_mean.shape == z_logvar.shape == codes
    assert output.z_mean.shape == output.z_logvar.shape == output.kl.shape == codes
    assert output.logits.shape == (5, 1, 28, 28)
    assert model.decode(z_mean).shape == (5, 1, 28, 28)
    assert model.sample(noise(model), LABELS).shape == (5, 1, 28, 28)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.integers(16, 64),
    st.sampled_from([1, 3]),
    st.integers(1, 40),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.floats(0.1, 3),
)
def test_any_square_image_comes_back_in_its_own_size(
    kind: str, side: int, channels: int, latent_dim: int, widths: list[int], width: float
) -> None:
    model = build(
        kind,
        image_size=side,
        channels=channels,
        latent_dim=latent_dim,
        hidden=tuple(widths),
        widths=tuple(widths),
        width=width,
    )
    with torch.no_grad():
        output = model(images(2, channels, side), noise(model, 2), LABELS[:2])
    assert output.logits.shape == (2, channels, side, side)
    assert output.logits.isfinite().all()
    assert output.kl.min() >= -1e-6


@all_kinds
def test_without_eps_it_decodes_the_mean_and_nothing_is_random(kind: str) -> None:
    model = build(kind)
    state = torch.get_rng_state()
    first, second = model(images(), labels=LABELS), model(images(), labels=LABELS)
    z_mean, z_logvar = model.encode(images(), labels=LABELS)
    model.sample(noise(model), LABELS)
    assert torch.equal(torch.get_rng_state(), state), "a model drew a random number"
    assert torch.equal(first.logits, second.logits)
    torch.testing.assert_close(first.z_mean, z_mean)
    torch.testing.assert_close(first.z_logvar, z_logvar)
    torch.testing.assert_close(first.logits, model.decode(z_mean, labels=LABELS))


@all_kinds
def test_both_passes_of_an_evaluation_are_those_of_forward(kind: str) -> None:
    model, x = build(kind), images()
    for eps in (noise(model), None):
        pair = model.at_mean_and_draw(x, eps, LABELS)
        expected = model(x, None, LABELS), model(x, eps, LABELS)
        for found, same in zip(pair, expected, strict=True):
            assert all(map(torch.equal, found, same))


@variational_kinds
def test_eps_moves_the_reconstruction_but_zero_eps_is_the_mean(kind: str) -> None:
    model = build(kind)
    at_mean = model(images()).logits
    torch.testing.assert_close(model(images(), torch.zeros(5, model.noise_dim)).logits, at_mean)
    for column in range(model.noise_dim):
        eps = torch.zeros(5, model.noise_dim)
        eps[:, column] = 3.0
        assert not torch.allclose(model(images(), eps).logits, at_mean), f"eps {column} is ignored"


@pytest.mark.parametrize("kind", [k for k in VARIATIONAL if k != "hier_conv_vae"])
def test_the_latent_is_mean_plus_std_times_eps(kind: str) -> None:
    model, eps = build(kind), torch.randn(5, 3)
    output = model(images(), eps, LABELS)
    z = output.z_mean + torch.exp(0.5 * output.z_logvar) * eps
    torch.testing.assert_close(output.logits, model.decode(z, LABELS))
    torch.testing.assert_close(output.kl, gaussians.kl_divergence(output.z_mean, output.z_logvar))
    torch.testing.assert_close(model.sample(eps, LABELS), model.decode(eps, LABELS))


@pytest.mark.parametrize("kind", PLAIN)
def test_an_autoencoder_has_no_kl_and_ignores_eps(kind: str) -> None:
    model = build(kind)
    output = model(images(), noise(model))
    assert torch.equal(output.kl, torch.zeros(5, 3))
    assert torch.equal(output.z_logvar, torch.zeros(5, 3))
    assert torch.equal(output.logits, model(images()).logits)


@all_kinds
def test_an_image_does_not_see_the_rest_of_its_batch(kind: str) -> None:
    model = build(kind).eval()
    together = model(images(), noise(model), LABELS)
    for i in range(5):
        one = slice(i, i + 1)
        alone = model(images()[one], noise(model)[one], LABELS[one])
        for got, expected in zip(alone, together, strict=True):
            torch.testing.assert_close(got, expected[one], rtol=1e-4, atol=1e-5)


@all_kinds
def test_gradient_reaches_every_parameter(kind: str) -> None:
    model = build(kind)
    output = model(images(), noise(model), LABELS)
    losses.objective(output, images(), LABELS, TrialConfig(kind=kind), 1.0).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@all_kinds
def test_the_gradient_is_that_of_the_whole_computation(kind: str) -> None:
    """Along a random direction in weight space, against a difference: no path is cut off."""
    model, config = build(kind).double(), TrialConfig(kind=kind)
    x, eps = images().double(), noise(model).double()
    weights = list(model.parameters())
    direction = [1e-6 * torch.randn_like(weight) for weight in weights]

    def loss() -> Tensor:
        return losses.objective(model(x, eps, LABELS), x, LABELS, config, 1.0).loss

    gradients = torch.autograd.grad(loss(), weights)
    expected = sum((2 * g * d).sum().item() for g, d in zip(gradients, direction, strict=True))
    with torch.no_grad():
        ends = []
        for sign in (1, -2):
            for weight, step in zip(weights, direction, strict=True):
                weight += sign * step
            ends.append(loss().item())
    assert ends[0] - ends[1] == pytest.approx(expected, rel=1e-3)


@all_kinds
def test_the_seed_decides_the_weights(kind: str) -> None:
    first, again, other = (build(kind, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@all_kinds
def test_channels_last_gives_the_same_numbers(kind: str) -> None:
    model = build(kind)
    expected = model(images(), noise(model), LABELS)
    model = model.to(memory_format=torch.channels_last)
    found = model(images().contiguous(memory_format=torch.channels_last), noise(model), LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@all_kinds
def test_no_value_is_looked_at_on_the_way(kind: str) -> None:
    """Meta tensors have no values: branching on one, as a captured graph cannot, would raise."""
    config = TrialConfig(kind=kind, **SMALL, supcon_gamma=1.0, free_bits=0.1)
    with torch.device("meta"):
        model = models.build(config.model)
        x, labels = torch.empty(5, 1, 28, 28), torch.empty(5, dtype=torch.int64)
        output = model(x, torch.empty(5, model.noise_dim), labels)
        loss = losses.objective(output, x, labels, config, 1.0).loss
    assert loss.shape == ()


@all_kinds
def test_an_ensemble_trains_under_vmap_as_its_members_do_alone(kind: str) -> None:
    members, config = [build(kind, seed) for seed in (0, 1)], TrialConfig(kind=kind)
    weights, buffers = stack_module_state(members)  # type: ignore[arg-type]
    x, eps = images(), noise(members[0])

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        output = functional_call(members[0], (parameters, buffers), (x, eps, LABELS))
        return losses.objective(output, x, LABELS, config, 1.0).loss

    gradients = vmap(grad(loss))(weights, buffers)
    for i, member in enumerate(members):
        output = member(x, eps, LABELS)
        losses.objective(output, x, LABELS, config, 1.0).loss.backward()
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(gradients[name][i], parameter.grad, rtol=1e-3, atol=1e-3)


@all_kinds
def test_width_multiplies_the_capacity(kind: str) -> None:
    sizes = [parameters(build(kind, width=width)) for width in (1e-3, 0.5, 1.0, 2.0)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4
    doubled = {"hidden": (24,), "widths": (16, 24, 32)}
    assert parameters(build(kind, width=2.0)) == parameters(build(kind, **doubled))


def test_scaled_sizes_are_rounded_and_never_zero() -> None:
    assert scaled((1, 3, 7, 400), 0.4) == (1, 1, 3, 160)


def test_a_residual_block_adds_to_its_input() -> None:
    block = ResidualBlock(6)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.randn(2, 6, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("kind", ["res_conv_vae", "hier_conv_vae"])
def test_blocks_deepen_every_stage_of_the_residual_kinds(kind: str) -> None:
    counts = [
        sum(isinstance(m, ResidualBlock) for m in build(kind, blocks=blocks).modules())
        for blocks in (1, 2, 3)
    ]
    assert counts == [6, 12, 18]


# Class-conditioned


def test_the_class_changes_code_and_image() -> None:
    model = build("cond_conv_vae")
    zero, one = torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    z = noise(model)
    assert not torch.allclose(model.encode(images(), zero)[0], model.encode(images(), one)[0])
    assert not torch.allclose(model.decode(z, zero), model.decode(z, one))
    assert not torch.allclose(model.sample(z, zero), model.sample(z, one))


def test_without_labels_the_class_is_uniform() -> None:
    model = build("cond_conv_vae", num_classes=4)
    first = model.decoder[0]
    z = noise(model)
    decoder_inputs: list[Tensor] = []
    first.register_forward_hook(lambda _m, inputs, _o: decoder_inputs.append(inputs[0]))
    model.decode(z)
    torch.testing.assert_close(decoder_inputs[0], torch.cat([z, torch.full((5, 4), 0.25)], dim=1))
    planes = model.class_plane(torch.eye(4)).mean(0, keepdim=True).expand(5, -1, -1, -1)
    features = model.encoder(torch.cat([images(), planes], dim=1))
    torch.testing.assert_close(model.encode(images())[0], model.mean_head(features))


def test_the_class_table_is_no_part_of_the_checkpoint() -> None:
    assert not any("one_hot" in name for name in build("cond_conv_vae").state_dict())


# Hierarchical


def hierarchical(**changes: Any) -> HierarchicalAutoencoder:
    model = build("hier_conv_vae", **changes)
    assert isinstance(model, HierarchicalAutoencoder)
    return model


def gaussian(mean: Tensor, logvar: Tensor) -> distributions.Normal:
    return distributions.Normal(mean, torch.exp(0.5 * logvar))


def test_both_levels_have_the_kl_of_torch_distributions() -> None:
    model = hierarchical().double()
    x, eps = images().double(), noise(model).double()
    output = model(x, eps)
    top = output.z_mean[:, :3] + torch.exp(0.5 * output.z_logvar[:, :3]) * eps[:, :3]
    posterior = gaussian(output.z_mean, output.z_logvar)
    prior_mean, prior_logvar = model.prior(top)
    prior = gaussian(
        torch.cat([torch.zeros_like(top), prior_mean], dim=1),
        torch.cat([torch.zeros_like(top), prior_logvar], dim=1),
    )
    expected = distributions.kl_divergence(posterior, prior)
    torch.testing.assert_close(output.kl, expected, rtol=1e-6, atol=1e-6)


def test_the_fine_prior_depends_on_the_top_code() -> None:
    model = hierarchical()
    means, logvars = model.prior(torch.randn(2, 3))
    assert not torch.allclose(means[0], means[1])
    assert not torch.allclose(logvars[0], logvars[1])


def test_a_hierarchical_sample_draws_the_fine_code_from_its_learned_prior() -> None:
    model = hierarchical()
    eps = noise(model)
    mean, logvar = model.prior(eps[:, :3])
    z = torch.cat([eps[:, :3], mean + torch.exp(0.5 * logvar) * eps[:, 3:]], dim=1)
    torch.testing.assert_close(model.sample(eps), model.decode(z))


def test_a_hierarchical_pass_draws_both_codes_from_the_posterior() -> None:
    model = hierarchical()
    eps = noise(model)
    output = model(images(), eps)
    z = output.z_mean + torch.exp(0.5 * output.z_logvar) * eps
    torch.testing.assert_close(output.logits, model.decode(z), rtol=1e-4, atol=1e-5)


# log p(z)


@all_kinds
def test_log_prior_equals_torch_distributions(kind: str) -> None:
    model = build(kind)
    z = noise(model)
    mean, logvar = torch.zeros_like(z), torch.zeros_like(z)
    if isinstance(model, HierarchicalAutoencoder):
        mean[:, 3:], logvar[:, 3:] = model.prior(z[:, :3])
    torch.testing.assert_close(model.log_prior(z), gaussian(mean, logvar).log_prob(z).sum(1))


# What cannot be built


@pytest.mark.parametrize("kind", ["conv_vae", "res_conv_vae", "cond_conv_vae", "hier_conv_vae"])
@pytest.mark.parametrize(("side", "stages", "most"), [(16, 5, 4), (28, 5, 4), (64, 7, 6)])
def test_too_many_stages_are_refused_by_number(
    kind: str, side: int, stages: int, most: int
) -> None:
    with pytest.raises(ValueError, match=rf"{stages} stages.* {side} pixels .*1 and {most} widths"):
        build(kind, image_size=side, widths=(2,) * stages)
    build(kind, image_size=side, widths=(2,) * most)


def test_no_stage_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"widths \(\) is 0 stages"):
        build("conv_vae", widths=())


def test_one_stage_is_too_few_for_two_levels() -> None:
    with pytest.raises(ValueError, match=r"hier_conv_vae needs .*\(8,\)"):
        build("hier_conv_vae", widths=(8,))


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no model kind 'unet'; there are mlp_ae, .*conv_vae"):
        ModelConfig(kind="unet")
