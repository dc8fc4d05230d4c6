"""Noise: each kind does what its table row says, for any image, and nothing more."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from vae_trainables import datasets
from vae_trainables.config import NOISE_KINDS, NoiseKind
from vae_trainables.datasets import noise

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
KINDS: tuple[NoiseKind, ...] = tuple(NOISE_KINDS)

any_kind = st.sampled_from(KINDS)
any_factor = st.floats(0, 1)
any_shape = st.tuples(
    st.integers(1, 4), st.sampled_from([1, 3]), st.integers(2, 33), st.integers(2, 33)
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def example(kind: NoiseKind, shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images, half of their pixels black or white as in real ones, and random numbers."""
    generator = seeded(seed)
    images = (torch.rand(shape, generator=generator) * 2 - 0.5).clamp(0, 1)
    draw = torch.randn if noise.random_kind(kind) == "normal" else torch.rand
    return images, draw(shape, generator=generator)


def corrupt_constant(
    kind: NoiseKind, value: float, factor: float, shape: tuple[int, ...]
) -> Tensor:
    return noise.corrupt(kind, torch.full(shape, value), factor, example(kind, shape)[1])


def test_every_kind_of_the_configuration_exists_and_no_other() -> None:
    assert set(noise.KINDS) == set(KINDS)


@settings(deadline=None)
@given(kind=any_kind, shape=any_shape, factor=any_factor, seed=st.integers(0, 1000))
def test_results_lie_in_0_1_and_the_input_is_left_alone(
    kind: NoiseKind, shape: tuple[int, ...], factor: float, seed: int
) -> None:
    images, rand = example(kind, shape, seed)
    before = images.clone(), rand.clone()
    noisy = noise.corrupt(kind, images, factor, rand)
    assert noisy.shape == images.shape
    assert noisy.dtype == torch.float32
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert torch.equal(images, before[0])
    assert torch.equal(rand, before[1])
    assert noisy.data_ptr() != images.data_ptr()


@settings(deadline=None)
@given(kind=any_kind, shape=any_shape, as_tensor=st.booleans())
def test_factor_0_changes_nothing(kind: NoiseKind, shape: tuple[int, ...], as_tensor: bool) -> None:
    images, rand = example(kind, shape)
    factor = torch.zeros(shape[0], 1, 1, 1) if as_tensor else 0.0
    assert torch.equal(noise.corrupt(kind, images, factor, rand), images)


@settings(deadline=None)
@given(kind=any_kind, factors=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=5))
def test_a_factor_per_image_equals_each_image_alone_bit_for_bit(
    kind: NoiseKind, factors: list[float]
) -> None:
    images, rand = example(kind, (len(factors), 1, 28, 28))
    together = noise.corrupt(kind, images, torch.tensor(factors).view(-1, 1, 1, 1), rand)
    for i, factor in enumerate(factors):
        one = torch.full((1, 1, 1, 1), factor)
        alone = noise.corrupt(kind, images[i : i + 1], one, rand[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)


def test_gaussian_gives_the_same_bits_for_a_number_and_a_tensor() -> None:
    images, rand = example("gaussian", (64, 1, 28, 28))
    for factor in (0.1, 0.45, 0.7):
        as_tensor = noise.corrupt("gaussian", images, torch.full((64, 1, 1, 1), factor), rand)
        assert torch.equal(noise.corrupt("gaussian", images, factor, rand), as_tensor)


def test_gaussian_is_the_stated_formula() -> None:
    images, rand = example("gaussian", (4, 1, 28, 28))
    expected = (images.double() + 0.45 * rand.double()).clip(0, 1)
    found = noise.corrupt("gaussian", images, 0.45, rand)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


def test_gaussian_draws_its_numbers_from_the_generator() -> None:
    images = torch.full((2, 1, 28, 28), 0.5)
    rand = torch.randn(images.shape, generator=seeded(7))
    expected = (images + 0.3 * rand).clamp(0, 1)
    torch.testing.assert_close(noise.gaussian(images, 0.3, seeded(7)), expected)
    assert not torch.equal(noise.gaussian(images, 0.3, seeded(8)), expected)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (noise.gaussian, "gaussian"),
        (noise.salt_and_pepper, "salt_pepper"),
        (noise.masking, "masking"),
        (noise.poisson, "poisson"),
    ],
)
def test_each_named_function_is_its_kind(
    function: typing.Callable[[Tensor, float, torch.Generator], Tensor], kind: NoiseKind
) -> None:
    images = torch.rand(3, 1, 28, 28, generator=seeded(0))
    draw = torch.randn if noise.random_kind(kind) == "normal" else torch.rand
    rand = draw(images.shape, generator=seeded(1))
    expected = noise.corrupt(kind, images, 0.4, rand)
    assert torch.equal(function(images, 0.4, seeded(1)), expected)


@pytest.mark.parametrize("factor", [0.05, 0.45, 1.0])
def test_salt_and_pepper_hits_the_stated_share_half_each(factor: float) -> None:
    noisy = corrupt_constant("salt_pepper", 0.5, factor, (200, 1, 28, 28))
    pixels = noisy.numel()
    deviation = (factor / 2 * (1 - factor / 2) / pixels) ** 0.5
    for value in (0.0, 1.0):
        share = (noisy == value).double().mean().item()
        assert share == pytest.approx(factor / 2, abs=4 * deviation)
    assert set(noisy.unique().tolist()) <= {0.0, 0.5, 1.0}


@settings(deadline=None)
@given(
    factor=any_factor,
    height=st.integers(2, 64),
    width=st.integers(2, 64),
    place=st.tuples(*[st.floats(0, 1, exclude_max=True, width=32)] * 2),
)
def test_masking_hides_exactly_its_share_of_the_area_wherever_it_lies(
    factor: float, height: int, width: int, place: tuple[float, float]
) -> None:
    rand = torch.zeros(1, 1, height, width)
    rand[0, 0, 0, :2] = torch.tensor(place)
    left = noise.corrupt("masking", torch.ones(1, 1, height, width), factor, rand)
    assert 1 - left.double().mean().item() == pytest.approx(factor, abs=1e-5)


def test_masking_hides_one_rectangle_that_is_the_same_in_all_channels() -> None:
    images = torch.ones(50, 3, 28, 28)
    noisy = noise.corrupt("masking", images, 0.3, example("masking", (50, 3, 28, 28))[1])
    assert torch.equal(noisy[:, 0], noisy[:, 1])
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    for hidden in noisy[:, 0] == 0:
        rows, columns = hidden.any(1), hidden.any(0)
        assert hidden.sum() == rows.sum() * columns.sum(), "not a rectangle"
        assert rows.nonzero().diff(dim=0).eq(1).all()
        assert columns.nonzero().diff(dim=0).eq(1).all()


def test_masking_reaches_every_corner() -> None:
    for top in (0.0, 1 - 2**-24):
        for left in (0.0, 1 - 2**-24):
            rand = torch.tensor([top, left]).expand(1, 1, 28, 2)
            noisy = noise.corrupt("masking", torch.ones(1, 1, 28, 28), 0.25, rand)
            corner = noisy[0, 0, round(top) * 27, round(left) * 27]
            assert corner < 1e-4
            assert noisy[0, 0, 27 - round(top) * 27].min() == 1


def test_masking_takes_another_place_for_each_image() -> None:
    noisy = noise.corrupt(
        "masking", torch.ones(50, 1, 28, 28), 0.2, example("masking", (50, 1, 28, 28))[1]
    )
    assert len(noisy.flatten(1).unique(dim=0)) == 50


@pytest.mark.parametrize("factor", [0.001, 0.02, 0.1, 0.45, 1.0])
def test_poisson_is_the_exact_quantile_of_the_photon_count(factor: float) -> None:
    images, rand = example("poisson", (8, 1, 28, 28))
    noisy = noise.corrupt("poisson", images, factor, rand)
    share = rand.double().numpy() + 2.0**-25
    counts = stats.poisson.ppf(share, images.double().numpy() / factor**2)
    expected = torch.from_numpy(counts * factor**2).clamp(max=1)
    torch.testing.assert_close(noisy.double(), expected, atol=1e-6, rtol=0)


def test_poisson_of_black_pixels_is_black_whatever_the_draw() -> None:
    rand = torch.linspace(0, 1 - 2**-24, 784).view(1, 1, 28, 28)
    assert not noise.corrupt("poisson", torch.zeros(1, 1, 28, 28), 0.3, rand).any()


@pytest.mark.parametrize(("value", "factor"), [(0.1, 0.1), (0.3, 0.2), (0.2, 0.4)])
def test_poisson_keeps_the_mean_and_has_deviation_factor_at_white(
    value: float, factor: float
) -> None:
    noisy = corrupt_constant("poisson", value, factor, (300, 1, 28, 28)).double()
    deviation = factor * value**0.5
    assert noisy.mean().item() == pytest.approx(value, abs=4 * deviation / noisy.numel() ** 0.5)
    assert noisy.std().item() == pytest.approx(deviation, rel=0.02)


def test_poisson_survives_the_ends_of_the_uniform_range() -> None:
    rand = torch.tensor([0.0, 2**-24, 0.5, 1 - 2**-24, 1.0]).view(5, 1, 1, 1)
    for factor in (0.01, 0.5, 1.0):
        for value in (0.0, 1e-6, 1.0):
            noisy = noise.corrupt("poisson", torch.full((5, 1, 1, 1), value), factor, rand)
            assert noisy.isfinite().all()
            assert (noisy.diff(dim=0) >= 0).all(), "more photons at a smaller quantile"


def test_bad_input_is_refused_with_the_value_received() -> None:
    images, rand = example("gaussian", (1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"unknown noise kind 'fog'.*salt_pepper"):
        noise.corrupt("fog", images, 0.1, rand)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"not torch\.uint8"):
        noise.corrupt("gaussian", images.to(torch.uint8), 0.1, rand)
    with pytest.raises(ValueError, match=r"factor in \[0, inf\], not -0\.1"):
        noise.corrupt("gaussian", images, -0.1, rand)
    with pytest.raises(ValueError, match=r"masking noise needs a factor in \[0, 1\], not 1\.5"):
        noise.corrupt("masking", images, 1.5, rand)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Fashion-MNIST is not installed")
def test_the_noisy_row_of_the_reference_is_met_on_the_real_test_images() -> None:
    clean = datasets.load("fashion-mnist", "test", DEBIAN).images.float() / 255
    noisy = noise.gaussian(clean, 0.45, seeded(0))
    mse = (noisy - clean).square().mean((1, 2, 3))
    assert mse.mean().item() == pytest.approx(0.1015, abs=0.0003)
    assert (-10 * mse.log10()).mean().item() == pytest.approx(9.945, abs=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_what_the_cpu_gives(kind: NoiseKind) -> None:
    images, rand = example(kind, (16, 1, 28, 28))
    expected = noise.corrupt(kind, images, 0.45, rand)
    found = noise.corrupt(kind, images.cuda(), 0.45, rand.cuda())
    torch.testing.assert_close(found.cpu(), expected, atol=1e-6, rtol=0)
