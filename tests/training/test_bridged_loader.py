"""Batches made by a worker process in shared memory: those of the plain loader, to the bit, whoever dies and wherever one begins."""

import gc
import os
import signal
import time

import numpy as np
import pytest

from odyssey.data import ArrayDataset, DataLoader, RandomAffine, WeightedSampler
from odyssey.training import bridged_loader
from odyssey.training.bridged_loader import BridgedLoader

pytestmark = pytest.mark.xdist_group("ring")
IMAGES = np.random.default_rng(0).random((23, 1, 6, 6), np.float32)
DATA = ArrayDataset(IMAGES, np.arange(23))


def plain(**options):
    return DataLoader(DATA, 5, transform=RandomAffine(degrees=10, shift=0.1), **{"shuffle": True, "seed": 3, **options})


def copies(loader, epochs):
    return [tuple(array.copy() for array in batch) for _ in range(epochs) for batch in loader]


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "options",
    [{}, {"drop_last": True}, {"shuffle": False}, {"shuffle": False, "sampler": WeightedSampler(np.arange(1, 24), 13)}],
    ids=lambda options: ",".join(options) or "shuffled",
)
def test_its_batches_are_those_of_the_plain_loader_over_epochs(options):
    loader = BridgedLoader(plain(**options), context="fork")
    same(copies(loader, 3), copies(plain(**options), 3))
    assert loader.state_dict() == {"epoch": 3, "batch": 0, "seed": 3, "batch_size": 5}
    assert loader.starting > 0
    loader.close()


def test_it_goes_on_in_the_middle_where_a_state_was_taken():
    whole = copies(plain(), 2)
    loader = BridgedLoader(plain(), context="fork")
    epoch = iter(loader)
    taken = [tuple(array.copy() for array in next(epoch)) for _ in range(3)]
    state = loader.state_dict()
    epoch.close()
    loader.close()
    rest = BridgedLoader(plain(), context="fork")
    rest.load_state_dict(state)
    same(taken + copies(rest, 2), whole)
    rest.close()
    again = plain()
    again.load_state_dict(state)
    third = BridgedLoader(again, context="fork")
    same(copies(third, 1), whole[3:5])
    third.close()


def test_an_epoch_that_was_left_begins_anew():
    loader = BridgedLoader(plain(), context="fork")
    for _ in loader:
        break
    same(copies(loader, 1), copies(plain(), 1))
    loader.close()


def test_a_batch_stays_whole_while_as_many_as_promised_are_kept():
    loader = BridgedLoader(plain(), keep=3, context="fork")
    batches = iter(loader)
    kept = [next(batches) for _ in range(3)]
    same(kept, copies(plain(), 1)[:3])
    batches.close()
    loader.close()


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_worker_that_is_killed_is_replaced_and_no_batch_is_lost_or_doubled(after):
    loader = BridgedLoader(plain(), context="fork")
    found = []
    for epoch in range(6):
        for number, batch in enumerate(loader):
            if (epoch, number) in ((0, after), (3, after)):
                os.kill(loader.pids[0], signal.SIGKILL)
            found.append(tuple(array.copy() for array in batch))
    same(found, copies(plain(), 6))
    assert loader.restarted == 2
    loader.close()


def test_what_the_worker_does_follows_from_the_number_alone():
    loader = plain()
    fill = bridged_loader._Fill(loader)
    whole = copies(plain(), 3)
    for number in (11, 0, 4, 14):
        slot = {"0": np.zeros((5, 1, 6, 6), np.float32), "1": np.zeros(5, np.int64)}
        rows = fill(number, slot)
        same([tuple(array[:rows] for array in slot.values())], [whole[number]])


def test_an_error_of_a_transform_reaches_the_loop():
    def fail(batch, generator):
        raise ValueError("a bad image")

    good = plain()
    loader = BridgedLoader(good, context="fork")
    loader.transform = fail
    with pytest.raises(ValueError, match="a bad image"):
        next(iter(loader))
    loader.close()


def test_the_worker_ends_with_the_loader_closed_or_forgotten():
    for forget in (False, True):
        loader = BridgedLoader(plain(), context="fork")
        batches = iter(loader)
        next(batches)
        (pid,) = loader.pids
        if forget:
            batches.close()
            del loader, batches
            gc.collect()
        else:
            loader.close()
            loader.close()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            gc.collect()
        else:
            pytest.fail("the worker lives on")
