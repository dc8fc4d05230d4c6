"""history.csv, loss curves and R3's table from a history whose figures are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.gallery import drawing, losses
from analysis.gallery.losses import COLUMNS, history_csv, history_rows, loss_table
from analysis.gallery.subject import Subject
from vae_trainables.config import TrialConfig

TINY = TrialConfig(kind="mlp_vae", hidden=(8,), latent_dim=2, supcon_gamma=2.0)
AE = TINY.model_copy(update={"kind": "mlp_ae", "supcon_gamma": 0.0})
HISTORY = {
    "train/loss": {1: 300.5, 2: 280.0},
    "train/recon": {1: 270.0, 2: 250.0},
    "train/kl": {1: 40.0, 2: 20.0},
    "train/supcon": {1: 5.0, 2: 4.5},
    "val/recon": {1: 260.0, 2: 240.0},
    "val/kl": {1: 30.0, 2: 25.0},
    "val/supcon": {1: 6.0, 2: 5.0},
    "val/neg_elbo": {1: 290.0, 2: 265.0},
    "beta": {1: 0.5, 2: 1.0},
    "lr": {1: 1e-3, 2: 5e-4},
}
Make = Callable[..., Subject]


def test_history_has_r2s_columns_in_r2s_order(make_subject: Make) -> None:
    header = history_csv(history_rows(make_subject(TINY, HISTORY))).splitlines()[0]
    assert header == (
        "epoch,beta,gamma_sc,kl_loss,loss,recon_loss,supcon_loss,val_beta,val_gamma_sc,"
        "val_kl_loss,val_loss,val_recon_loss,val_supcon_loss,learning_rate"
    )


def test_history_rows_hold_the_run_and_the_weighted_validation_loss(make_subject: Make) -> None:
    text = history_csv(history_rows(make_subject(TINY, HISTORY)))
    assert text.splitlines()[1:] == [
        "1,0.5,2.0,40.0,300.5,270.0,5.0,0.5,2.0,30.0,287.0,260.0,6.0,0.001",
        "2,1.0,2.0,20.0,280.0,250.0,4.5,1.0,2.0,25.0,275.0,240.0,5.0,0.0005",
    ]


def test_what_a_run_does_not_have_stays_empty(make_subject: Make) -> None:
    """A trial logs zeros for terms that it does not have; they are no measurements."""
    (row, _) = history_rows(make_subject(AE, HISTORY))
    empty = {name for name in COLUMNS if row[name] is None}
    assert empty == {
        "beta", "val_beta", "kl_loss", "val_kl_loss", "supcon_loss", "val_supcon_loss",
    }  # fmt: skip
    assert row["val_loss"] == 260.0
    assert ",," in history_csv([row])


@pytest.mark.parametrize(
    "changes",
    [{"recon_term": "mse"}, {"free_bits": 0.1}, {"kl_target": 5.0}, {"ssim_weight": 1.0}],
    ids=str,
)
def test_no_validation_loss_is_made_up_where_the_loss_has_other_terms(
    make_subject: Make, changes: dict[str, object]
) -> None:
    config = TINY.model_copy(update=changes)
    assert history_rows(make_subject(config, HISTORY))[0]["val_loss"] is None


def test_no_validation_loss_without_its_supcon(make_subject: Make) -> None:
    history = {name: values for name, values in HISTORY.items() if name != "val/supcon"}
    assert history_rows(make_subject(TINY, history))[0]["val_loss"] is None


def test_curves_carry_the_values_of_the_history(make_subject: Make) -> None:
    subject = make_subject(TINY, HISTORY, language="en")
    found = losses.training_curves(subject, history_rows(subject))
    total = found["01_train_total_loss.png"]
    assert [(line.label, line.values) for line in total.lines] == [
        ("training", (300.5, 280.0)),
        ("validation", (287.0, 275.0)),
    ]
    ((label, value),) = found["03B_train_supcon_loss.png"].levels
    assert label == "all codes alike: ln 127 = 4.844"
    assert value == pytest.approx(4.844, abs=1e-3)
    assert [line.values for line in found["04_beta_warmup.png"].lines] == [(0.5, 1.0)]


def test_an_autoencoder_has_one_curve_of_losses_and_none_of_kl(make_subject: Make) -> None:
    subject = make_subject(AE, HISTORY)
    assert len(losses.loss_curves(subject)) == 1
    assert (
        losses.training_curves(subject, history_rows(subject))["03_train_kl_loss.png"].lines == ()
    )


def test_drawn_curves_are_those_of_the_data(make_subject: Make) -> None:
    subject = make_subject(TINY, HISTORY)
    info = losses.training_curves(subject, history_rows(subject))["02_train_recon_loss.png"]
    (axes,) = drawing.curves(info).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[270.0, 250.0], [260.0, 240.0]]


def test_the_loss_table_has_r3s_epochs_and_the_last(make_subject: Make) -> None:
    history = {name: dict.fromkeys(range(1, 13), 100.0) for name in HISTORY}
    subject = make_subject(TINY, history)
    subject.record.metrics["test/neg_elbo"] = 123.0
    frame = loss_table(subject).frame
    assert frame["epoch"].tolist() == [1, 5, 10, 12]
    assert frame["neg_elbo"].tolist() == [200.0] * 4  # recon + KL, whatever β is
    assert frame["test"].dropna().tolist() == [123.0]
    assert "printed_test" not in frame


def test_printed_losses_stand_beside_r3s_network_only(make_subject: Make) -> None:
    config = TrialConfig(kind="mlp_vae", latent_dim=20, dataset="mnist", epochs=5)
    history = {name: dict.fromkeys((1, 2, 5), 1.0) for name in HISTORY}
    table = loss_table(make_subject(config, history))
    assert table.frame["printed_test"].tolist() == [147.8, 139.2]
    assert "cannot be reproduced" in table.note
