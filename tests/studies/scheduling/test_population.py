"""Population based training: who ends, who inherits, and that it follows from the ledger alone."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from studies.errors import InputError
from studies.ledger.journal import Journal
from studies.ledger.trials import LedgerTrial, Status
from studies.runner import resuming
from studies.runner.planning import make_plan
from studies.runner.settings import Settings
from studies.scheduling.population import Population
from studies.scheduling.pruning import Reading
from tests.studies.search.product import definitions
from tests.studies.search.simulated import CALM, Fate, Simulation, course, facts
from vae_trainables.config import LIVE, TrialConfig

STUDY = definitions()["denoise_sweep"]
NUMBERS = count()


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: the crash of a machine is tested elsewhere."""
    monkeypatch.setattr(Journal, "commit", lambda _: None)


class Ring:
    """A population of trials that report what they are told to."""

    def __init__(self, size: int, share: float = 0.25, interval: int = 2, epochs: int = 6) -> None:
        self.trials: dict[str, LedgerTrial] = {}
        self.rule = Population(
            self.trials,
            size=size,
            interval=interval,
            share=share,
            max_epochs=epochs,
            metric="val/mse",
            direction="minimize",
            comparison=lambda config, epoch, metric, value: Reading(value),
            chance=0,
        )
        for number in range(size):
            self.add(LedgerTrial("search", number, TrialConfig(epochs=epochs)))

    def add(self, trial: LedgerTrial) -> LedgerTrial:
        self.trials[trial.key] = trial
        return trial

    def report(self, epoch: int, *values: float, status: Status = "interrupted") -> None:
        """The first trials' values at an epoch, NaN: none."""
        for trial, value in zip(self.trials.values(), values, strict=False):
            if value == value:
                trial.reports[epoch] = {"val/mse": value}
            trial.status = status

    def inherit(self) -> list[tuple[str, str]]:
        """Plan all heirs that are due: of whom, and instead of whom."""
        pairs = []
        while (succession := self.rule.due()) is not None:
            parent, place = succession.parent, succession.instead_of
            config = parent.config.heir(succession.epoch, {"lr": 1e-4 * (1 + next(NUMBERS))})
            self.add(
                LedgerTrial(
                    "search", len(self.trials), config, parent=parent.key, instead_of=place.key
                )
            )
            pairs.append((parent.key, place.key))
        return pairs

    def standings(self) -> str:
        return " ".join(self.rule.standing(trial) for trial in self.trials.values())


def test_all_wait_until_the_last_has_come() -> None:
    ring = Ring(4)
    ring.report(1, 1, 2, 3, 4)
    assert ring.standings() == "ready ready ready ready"
    ring.report(2, 1, 2, 3)
    assert ring.standings() == "waits waits waits ready"
    assert ring.rule.due() is None


def test_the_worst_gives_way_to_an_heir_of_the_best() -> None:
    ring = Ring(4)
    ring.report(2, 3, 1, 4, 2)
    assert ring.standings() == "waits waits over waits", "until the heir is in the ledger"
    assert ring.inherit() == [("0001", "0002")]
    assert ring.standings() == "ready ready over ready ready"
    heir = ring.trials["0004"]
    assert (heir.inherited, heir.trained) == (2, 0)


def test_an_heir_is_judged_with_the_next_generation() -> None:
    ring = Ring(4)
    ring.report(2, 3, 1, 4, 2)
    ring.inherit()
    ring.report(4, 3, 1, float("nan"), 2)
    assert ring.standings() == "waits waits over waits ready"
    ring.trials["0004"].reports |= {epoch: {"val/mse": 9.0} for epoch in (1, 2, 3, 4)}
    assert ring.inherit() == [("0001", "0004")]
    assert ring.standings() == "ready ready over ready over ready"
    assert ring.rule.due() is None, "and nobody is judged at the last epoch"


def test_who_failed_is_replaced_and_who_stopped_by_itself_is_not() -> None:
    ring = Ring(4)
    ring.report(2, 3, 1, float("nan"), 2)
    ring.trials["0002"].status = "diverged"
    ring.trials["0003"].status = "finished"  # its patience ended at this epoch
    assert ring.inherit() == [("0001", "0000"), ("0001", "0002")]


def test_the_reference_stays_and_may_have_heirs() -> None:
    ring = Ring(2)
    ring.trials["0000"].reference = True
    ring.report(2, 9, 1)
    assert ring.inherit() == []
    ring.report(4, 1, 9)
    assert ring.inherit() == [("0000", "0001")]


def test_equals_do_not_replace_each_other_and_all_may_fail() -> None:
    ring = Ring(4)
    ring.report(2, 1, 1, 1, 1)
    assert ring.inherit() == []
    ring.report(4, status="failed")
    assert ring.inherit() == []
    assert ring.rule.due() is None


@pytest.mark.parametrize(("share", "replaced"), [(0.1, 1), (0.25, 2), (0.5, 4), (0.9, 4)])
def test_a_share_of_the_population_is_replaced(share: float, replaced: int) -> None:
    ring = Ring(8, share)
    ring.report(2, *range(8))
    pairs = ring.inherit()
    assert [place for _, place in pairs] == [f"{n:04d}" for n in range(8 - replaced, 8)]
    assert {parent for parent, _ in pairs} <= {f"{n:04d}" for n in range(replaced)}


def simulated(folder: Path, seed: int, fate: Fate, workers: int, **flags: Any) -> Simulation:
    given = {"trials": 8, "epochs": 9, "scheduler": "pbt", "grace": 2, "seed": seed, **flags}
    run = Simulation(STUDY, Settings(**given), folder, fate, workers=workers)
    run.ledger = run.run()
    return run


@pytest.mark.parametrize(("sampler", "workers"), [("random", 1), ("random", 4), ("qmc", 3)])
def test_what_happens_depends_on_no_worker_and_no_death(
    sampler: str, workers: int, tmp_path: Path
) -> None:
    """The whole study is the same, trial by trial and epoch by epoch."""
    flags = {"trials": 6, "sampler": sampler}
    calm = simulated(tmp_path / "calm", 3, CALM, 2, **flags)
    deaths = Fate(diverged=0, failed=0, lost=0.02, kills=3, nan=0)
    other = simulated(tmp_path / "other", 3, deaths, workers, **flags)
    assert other.happened["resumed"] == 3
    assert course(other.ledger) == course(calm.ledger)
    assert any(trial.parent for trial in calm.ledger.trials.values())


def test_heirs_differ_from_their_parents_in_what_may_change_alone(tmp_path: Path) -> None:
    run = simulated(tmp_path, 0, CALM, 2)
    ledger, heirs = run.ledger, [t for t in run.ledger.trials.values() if t.parent]
    assert len({t.group for t in ledger.trials.values()}) == len(ledger.trials)
    for heir in heirs:
        parent, epoch = ledger.trials[heir.parent], heir.inherited
        assert heir.config.past(epoch) == parent.config.past(epoch)
        assert {e: heir.reports[e] for e in range(1, epoch + 1)} == {
            e: parent.reports[e] for e in range(1, epoch + 1)
        }
        changed = heir.config.lineage[-1].settings
        assert {"lr", "beta", "noise_factor"} <= changed.keys() <= LIVE
        for name, before in changed.items():
            assert 1 / 1.5 <= heir.config.value(name) / before <= 1.5
    assert sum(t.trained for t in ledger.trials.values()) == 8 * 9, "no epoch is trained twice"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"trials": 1}, "give --trials 2"),
        ({"grace": 9}, "judges every 9 epochs"),
        ({"seeds": 2}, "--seeds exclude"),
        ({"trials": None, "budget": "2h"}, "--budget exclude"),
        ({"set": [f"{name}=0.3" for name in ("noise_factor", "beta", "supcon_gamma")]
          + ["supcon_temperature=0.3", "lr=0.001"]}, "finds nothing"),
    ],
)  # fmt: skip
def test_a_population_that_could_not_change_is_refused(flags: dict[str, Any], words: str) -> None:
    given = {"trials": 8, "epochs": 9, "scheduler": "pbt"} | flags

    def start() -> None:
        settings = Settings(**given)
        settings.check()
        make_plan(STUDY, settings)

    with pytest.raises(InputError, match=words):
        start()


def test_another_population_is_another_study(tmp_path: Path) -> None:
    simulated(tmp_path, 0, CALM, 2)
    grown = Simulation(
        STUDY, Settings(trials=9, epochs=9, scheduler="pbt", grace=2, resume=True), tmp_path, CALM
    )
    with pytest.raises(InputError, match="the population of --scheduler pbt"):
        grown.run()


def test_a_population_is_confirmed_without_being_named_again(tmp_path: Path) -> None:
    """Nobody is judged any more; a search with another rule is refused."""
    simulated(tmp_path, 0, CALM, 2)
    confirming = make_plan(STUDY, Settings(epochs=9, confirm_only=True, confirm_top=1))
    with resuming.open_ledger(confirming, tmp_path, facts(confirming)) as (ledger, remark):
        assert ledger.facts()["population"] == [8, 2, 4.0]
    assert not remark
    other = make_plan(STUDY, Settings(trials=8, epochs=9, resume=True))
    with (
        pytest.raises(InputError, match="the population of --scheduler pbt"),
        resuming.open_ledger(other, tmp_path, facts(other)),
    ):
        pass
