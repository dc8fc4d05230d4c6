"""The data as workers receive it: all of it, or what was never given."""

from __future__ import annotations

from dataclasses import replace

import torch

from studies.workers.trainable import pack, unpack
from tests.vae_trainables.cohort.support import small_data


def test_a_worker_receives_what_the_driver_has() -> None:
    nets = {"feature_net": {"w": torch.ones(2)}, "classifier": {"v": torch.zeros(3)}}
    given = replace(small_data(), **nets)
    found = unpack(pack(given))
    assert found.test is not None
    assert torch.equal(found.train.images, given.train.images)
    assert found.feature_net is not None
    assert torch.equal(found.feature_net["w"], torch.ones(2))
    assert found.classifier is not None
    assert torch.equal(found.classifier["v"], torch.zeros(3))
    blind = unpack(pack(replace(small_data(), test=None)))
    assert (blind.test, blind.feature_net, blind.classifier) == (None, None, None)
