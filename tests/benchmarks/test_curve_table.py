"""The table of learning curves: written and read alike, and the one that is checked in is whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks import learning_curves
from benchmarks.curve_table import PATH, CurveTable, load, merged, save
from tests.benchmarks.curves import table
from vae_trainables.config import TrialConfig

MEGABYTES = 3


def same(first: CurveTable, second: CurveTable) -> bool:
    arrays = ("batches", "seeds", "status", "values")
    plain = ("parameters", "configs", "metrics", "facts")
    return all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=name == "values")
        for name in arrays
    ) and all(getattr(first, name) == getattr(second, name) for name in plain)


def test_what_is_saved_is_loaded_and_the_bytes_repeat(tmp_path: Path) -> None:
    one = table(5)
    one.values[2, 1, 4:] = np.nan
    for name in ("a", "b"):
        save(one, tmp_path / name)
    assert same(load(tmp_path / "a"), one)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_curve_goes_by_its_name() -> None:
    one = table(3)
    assert one.curve("val/ssim").shape == (3, 2, learning_curves.EPOCHS)
    assert np.array_equal(one.curve("val/ssim"), one.values[..., 1])
    with pytest.raises(KeyError, match="val/mse, val/ssim"):
        one.curve("val/beauty")


def test_a_further_batch_is_added_and_a_batch_that_went_on_replaces_itself() -> None:
    first, second = table(4, batch=0), table(3, seed=1, batch=1)
    both = merged(first, second)
    assert both.batches.tolist() == [0] * 4 + [1] * 3
    assert both.configs == (*first.configs, *second.configs)
    longer = table(6, seed=1, batch=1)
    again = merged(both, longer)
    assert again.batches.tolist() == [0] * 4 + [1] * 6
    assert again.configs[4:] == longer.configs


def test_tables_of_other_trainings_are_not_one() -> None:
    other = replace(table(2, batch=1), facts={"data": "others", "epochs": 8})
    with pytest.raises(ValueError, match="differ in data"):
        merged(table(2), other)
    with pytest.raises(ValueError, match="metrics"):
        merged(table(2), replace(table(2), metrics=("val/mse", "val/psnr")))


@pytest.fixture(scope="module")
def checked_in() -> CurveTable:
    return load()


def test_the_file_is_small(checked_in: CurveTable) -> None:
    assert PATH.stat().st_size < MEGABYTES * 1e6
    assert len(checked_in) > 0


def test_curves_are_whole_where_they_are_called_so(checked_in: CurveTable) -> None:
    finished = checked_in.status == "finished"
    mse = checked_in.curve("val/mse")
    assert np.isfinite(mse[finished]).all()
    assert (mse[finished] > 0).all()
    assert np.isnan(mse[checked_in.status == ""]).all()
    psnr = checked_in.curve("val/psnr")[finished]
    assert (np.abs(psnr + 10 * np.log10(mse[finished])) < 2.5).all(), "a mean of logs, not far off"
    shape = (len(checked_in), learning_curves.SEEDS, learning_curves.EPOCHS)
    assert mse.shape == shape


def test_no_configuration_is_there_twice_but_the_reference(checked_in: CurveTable) -> None:
    prints = [TrialConfig(**config).fingerprint() for config in checked_in.configs]
    repeated = {one for one in prints if prints.count(one) > 1}
    reference = learning_curves.plan().reference.flat(without=learning_curves.LEFT_OUT)
    assert repeated <= {TrialConfig(**reference).fingerprint()}
    whole = checked_in.complete()
    assert (checked_in.seeds[whole, 0] != checked_in.seeds[whole, 1]).all()


def test_the_parameters_of_each_lead_to_its_configuration(checked_in: CurveTable) -> None:
    plan = learning_curves.plan()
    for parameters, settings in zip(checked_in.parameters, checked_in.configs, strict=True):
        trial = optuna.trial.FixedTrial(dict(parameters))
        config = plan.configure(trial)  # type: ignore[arg-type]
        assert config.flat(without=learning_curves.LEFT_OUT) == settings
        assert set(trial.params) == set(parameters)
