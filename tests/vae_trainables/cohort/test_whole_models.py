"""Models that the package has never seen: buffers, dropout, own terms, what cannot be stacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.vae_trainables.cohort.support import (
    assert_same_bits,
    comparable,
    config,
    run_cohort,
    small_data,
    solo,
)
from vae_trainables import models
from vae_trainables.cohort import Cohort, CohortError, Ways, fusion_key
from vae_trainables.config import ModelConfig, TrialConfig
from vae_trainables.kinds import KINDS, Kind
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.objective import terms
from vae_trainables.training.trial import Trial

FEATURES = 24


class Own(OneLevelAutoencoder):
    """A small model with one layer of the test's in its encoder and one in its decoder.

    Neither follows a bias at once: before a BatchNorm its gradient is rounding, blown up by Adam.
    """

    def __init__(self, config: ModelConfig, layers: tuple[nn.Module, nn.Module]) -> None:
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, FEATURES), nn.SiLU(), layers[0])
        decoder = nn.Sequential(
            nn.Linear(config.latent_dim, FEATURES), nn.SiLU(), layers[1],
            nn.Linear(FEATURES, 784), nn.Unflatten(1, (1, 28, 28)),
        )  # fmt: skip
        super().__init__(config, encoder, FEATURES, decoder)


class LooksAtValues(nn.Module):
    """What torch.func cannot map."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else 2 * x


class Conditional(Own):
    """Told the class, whatever its kind is called."""

    conditional = True

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        shift = torch.zeros(len(z), 1) if labels is None else labels[:, None] / 10
        return super().decode(z + shift)


def use(monkeypatch: pytest.MonkeyPatch, *layers: nn.Module, kind: type[Own] = Own) -> None:
    """Let `res_conv_vae` be a model of the test's own."""
    import copy

    def build(chosen: ModelConfig) -> Own:
        first, second = (copy.deepcopy(layer) for layer in layers)
        return kind(chosen, (first, second))

    made = Kind(make=build, conditional=kind.conditional)
    monkeypatch.setitem(KINDS, "res_conv_vae", made)


def chosen(seed: int, **settings: object) -> TrialConfig:
    return config(
        "res_conv_vae", latent_dim=4, noise_factor=0.2, seed=seed, lr=1e-3 * (seed + 1), **settings
    )


LAYERS = {
    "BatchNorm": (nn.BatchNorm1d(FEATURES), nn.BatchNorm1d(FEATURES, momentum=0.3)),
    "dropout": (nn.Dropout(0.3), nn.Dropout(0.5)),
    "both": (nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Dropout(0.2)), nn.Dropout(0.1)),
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_a_member_is_the_whole_model_of_its_trial(
    layers: tuple[nn.Module, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, *layers)
    configs = {0: chosen(1), 2: chosen(2)}
    run = run_cohort(configs, tmp_path, slots=3, epochs=2)
    for slot, one in configs.items():
        alone = solo(one, epochs=2)
        for record, entry in zip(run.records[slot], alone.history, strict=True):
            expected = comparable(entry["metrics"])
            assert comparable(record.metrics) == pytest.approx(expected, rel=1e-5, abs=1e-6)
        found, state = run.members[slot].model.state_dict(), alone.model.state_dict()
        assert found.keys() == state.keys()
        for name, value in state.items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_resuming_continues_bit_for_bit(
    layers: tuple[nn.Module, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, *layers)
    one = chosen(3, epochs=3)
    solo(one, epochs=1).save(tmp_path)
    torch.manual_seed(99)  # whatever else the process draws
    again = Trial(one, small_data())
    again.resume(tmp_path)
    again.run_epoch()
    assert_same_bits(again, solo(one, epochs=2))


def test_dropout_zeroes_anew_in_every_step_and_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, nn.Dropout(0.5), nn.Dropout(0.5))
    trial = Trial(chosen(1), small_data())
    first, second = trial.model.encoder[3], trial.model.decoder[2]
    x = torch.ones(50, FEATURES)
    models.dropout.set_key(trial.model, 1, 0)
    zeros = first(x) == 0
    assert 0.4 < zeros.float().mean() < 0.6
    assert torch.equal(first(x) == 0, zeros)
    assert not torch.equal(second(x) == 0, zeros)
    models.dropout.set_key(trial.model, 1, 1)
    assert not torch.equal(first(x) == 0, zeros)
    assert torch.equal(trial.model.eval().encoder[3](x), x)


def test_a_dropout_without_a_counterpart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, nn.AlphaDropout(0.5), nn.Identity())
    with pytest.raises(ValueError, match="AlphaDropout draws random numbers"):
        Trial(chosen(1), small_data())


def test_a_model_that_cannot_be_stacked_says_why_and_trains_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, LooksAtValues(), nn.BatchNorm1d(FEATURES))
    one = chosen(1)
    assert "torch.func cannot stack it" in fusion_key(one).obstacle
    with pytest.raises(CohortError, match=r"cannot be fused: torch\.func.*give 1 slot"):
        Cohort(one, small_data(), slots=2)
    run = run_cohort({0: one}, tmp_path, slots=1, epochs=1)
    expected = comparable(solo(one, epochs=1).history[0]["metrics"])
    assert comparable(run.records[0][0].metrics) == pytest.approx(expected, rel=1e-5)


def test_an_own_conditional_model_is_judged_with_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, nn.Identity(), nn.Identity(), kind=Conditional)
    configs = {0: chosen(1), 1: chosen(2)}
    run = run_cohort(configs, tmp_path, slots=2, epochs=1)
    member = run.members[0]
    labels = member.evaluator.data.val.labels
    clean, noisy = member.evaluator.images("val", "gaussian", 0.45)
    member.model.eval()
    with torch.no_grad():
        image = torch.sigmoid(member.model(noisy, None, labels).logits)
    expected = (image - clean).square().mean().item()
    assert run.records[0][0].metrics["val/mse"] == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def own_terms() -> Iterator[None]:
    @terms.register(name="tv", unit="grey levels", weight="tv_weight", per="image")
    def variation(batch: terms.Batch) -> Tensor:
        return batch.image.diff(dim=3).abs().flatten(1).sum(1)

    @terms.register(
        name="spread", unit="1", weight="spread_weight", per="batch", settings={"spread_aim": 1.0}
    )
    def spread(batch: terms.Batch) -> Tensor:
        return (batch.output.z_mean.std() - batch.settings["spread_aim"]).square()

    yield
    terms.remove("tv")
    terms.remove("spread")


@pytest.mark.usefixtures("own_terms")
def test_own_terms_weigh_in_cohorts_as_alone(tmp_path: Path) -> None:
    configs = {
        0: config(tv_weight=5.0),
        1: config(seed=1),
        2: config(seed=2, spread_weight=3.0, spread_aim=0.5, tv_weight=0.1),
    }
    assert len({fusion_key(one) for one in configs.values()}) == 1
    run = run_cohort(configs, tmp_path, slots=3, epochs=1)
    for slot, one in configs.items():
        expected = comparable(solo(one, epochs=1).history[0]["metrics"])
        assert comparable(run.records[slot][0].metrics) == pytest.approx(expected, rel=1e-5)
        shown = {name for name in ("train/tv", "train/spread") if name in expected}
        assert shown == {0: {"train/tv"}, 1: set(), 2: {"train/tv", "train/spread"}}[slot]
    plain = solo(config(), epochs=1).history[0]["metrics"]
    assert run.records[0][0].metrics["train/loss"] > 1.2 * plain["train/loss"]


@pytest.mark.usefixtures("own_terms")
def test_a_cohort_that_has_no_such_term_does_not_leave_it_out_silently() -> None:
    cohort = Cohort(config(), small_data(), slots=2, ways=Ways())
    assert not cohort.accepts(config(tv_weight=5.0))
    assert cohort._obstacles(config(tv_weight=5.0)) == ["tv: its step has none"]
