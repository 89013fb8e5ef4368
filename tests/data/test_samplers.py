from itertools import islice

import numpy as np
import pytest

from odyssey.data import (
    ArrayDataset,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    ShardSampler,
    StratifiedSampler,
    WeightedSampler,
)
from odyssey.errors import ShapeError

LABELS = np.array([0] * 50 + [1] * 30 + [2] * 15 + [3] * 5)
SAMPLERS = [
    SequentialSampler(100),
    RandomSampler(100),
    RandomSampler(100, num_samples=40),
    RandomSampler(100, replacement=True, num_samples=150),
    WeightedSampler(1.0 / np.bincount(LABELS)[LABELS]),
    WeightedSampler(np.arange(100), 60, replacement=False),
    StratifiedSampler(LABELS),
    ShardSampler(RandomSampler(100), 1, 3),
    ShardSampler(StratifiedSampler(LABELS), 2, 3, drop_last=True),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_an_order_is_a_function_of_seed_and_epoch(sampler):
    one = sampler.order(1, 5)
    sampler.order(1, 6)
    np.testing.assert_array_equal(sampler.order(1, 5), one)
    assert one.dtype == np.int64
    assert one.shape == (len(sampler),)
    assert one.min() >= 0
    assert one.max() < 100
    if not isinstance(sampler, SequentialSampler):
        assert not np.array_equal(sampler.order(1, 6), one)
        assert not np.array_equal(sampler.order(2, 5), one)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_with_a_sampler_goes_on_to_the_same_bits(sampler, workers):
    def noise(batch, generator):
        return (batch[0] + generator.random(batch[0].shape),)

    def forever(loader):
        while True:
            yield from loader

    def make():
        return DataLoader(
            ArrayDataset(np.arange(100)), 7, seed=2, sampler=sampler, transform=noise, workers=workers, drop_last=True
        )

    expected = [batch[0].tolist() for batch in islice(forever(make()), 45)]
    one = make()
    source = forever(one)
    for _ in islice(source, 20):
        pass
    two = make()
    two.load_state_dict(one.state_dict())
    rest = [batch[0].tolist() for batch in islice(forever(two), 25)]
    assert rest == expected[20:]


def test_shuffling_is_the_random_sampler():
    data = ArrayDataset(np.arange(20))
    a, b = (list(DataLoader(data, 3, seed=4, **o)) for o in ({"shuffle": True}, {"sampler": RandomSampler(20)}))
    assert [x[0].tolist() for x in a] == [x[0].tolist() for x in b]


def test_random_samples_come_once_or_as_they_fall():
    assert sorted(RandomSampler(50).order(0, 0)) == list(range(50))
    part = RandomSampler(50, num_samples=20).order(0, 0)
    assert len(set(part.tolist())) == 20
    assert len(set(RandomSampler(50, replacement=True).order(0, 0).tolist())) < 50


def test_weights_are_kept_to():
    weights = np.array([0.0, 1.0, 2.0, 0.0, 5.0])
    counts = np.bincount(WeightedSampler(weights, 80_000).order(0, 0), minlength=5)
    np.testing.assert_allclose(counts, weights * 10_000, rtol=0.05)
    assert counts[0] == counts[3] == 0
    once = WeightedSampler(weights, 3, replacement=False).order(0, 0)
    assert sorted(once.tolist()) == [1, 2, 4]
    first = [WeightedSampler(weights, 2, replacement=False).order(0, epoch)[0] for epoch in range(200)]
    assert np.bincount(first, minlength=5).argmax() == 4


def test_the_last_weight_is_never_overshot():
    class Highest:
        def random(self, count):
            return np.full(count, np.nextafter(1.0, 0.0))

    sums = np.cumsum(np.full(1000, 0.1))
    assert np.searchsorted(sums, Highest().random(3) * sums[-1], side="right").max() <= 999


def test_every_prefix_of_a_stratified_order_is_in_proportion():
    sampler = StratifiedSampler(LABELS)
    shares = np.bincount(LABELS) / 100
    for epoch in range(5):
        order = sampler.order(0, epoch)
        assert sorted(order.tolist()) == list(range(100))
        seen = np.cumsum(LABELS[order][:, None] == np.arange(4), axis=0)
        difference = np.abs(seen - np.arange(1, 101)[:, None] * shares)
        assert np.all(difference < 1 + 4 * shares)


def test_a_stratified_order_of_equal_classes_holds_each_in_every_run():
    labels = np.random.default_rng(0).permutation(np.repeat(["a", "b", "c", "d", "e"], 8))
    order = StratifiedSampler(labels).order(0, 0)
    for run in labels[order].reshape(8, 5):
        assert sorted(run) == list("abcde")


def test_shards_are_disjoint_complete_and_equally_long():
    whole = RandomSampler(10).order(3, 1)
    shards = [ShardSampler(RandomSampler(10), rank, 4) for rank in range(4)]
    assert [len(s) for s in shards] == [3] * 4
    joined = np.stack([s.order(3, 1) for s in shards], 1).ravel()
    np.testing.assert_array_equal(joined, np.concatenate([whole, whole[:2]]))
    shards = [ShardSampler(RandomSampler(10), rank, 4, drop_last=True) for rank in range(4)]
    joined = np.stack([s.order(3, 1) for s in shards], 1).ravel()
    np.testing.assert_array_equal(joined, whole[:8])
    assert ShardSampler(SequentialSampler(2), 0, 3, drop_last=True).order(0, 0).tolist() == []


def test_senseless_settings_are_refused():
    for make, error, message in (
        (lambda: RandomSampler(5, num_samples=6), ValueError, "from 0 to 5, found 6; replacement=True"),
        (lambda: RandomSampler(0, True, 1), ValueError, "from 0 to 0, found 1"),
        (lambda: WeightedSampler(np.ones((2, 2))), ShapeError, r"weights \(N,\), found \(2, 2\)"),
        (lambda: WeightedSampler([1.0, -1.0]), ValueError, "finite weights from 0 on"),
        (lambda: WeightedSampler([0.0, 0.0]), ValueError, "one above 0"),
        (lambda: WeightedSampler([1.0, np.nan]), ValueError, "finite"),
        (lambda: WeightedSampler([1.0, 0.0], replacement=False), ValueError, "from 0 to 1, the weights above 0, found 2"),
        (lambda: StratifiedSampler(np.zeros((2, 2))), ShapeError, r"labels \(N,\)"),
        (lambda: ShardSampler(SequentialSampler(4), 2, 2), ValueError, "a rank from 0 to 1, found 2 of 2"),
    ):
        with pytest.raises(error, match=message):
            make()


def test_an_order_that_does_not_fit_the_data_set_is_refused():
    class Wrong(Sampler):
        def __init__(self, order, size=3):
            self.numbers, self.size = np.array(order), size

        def __len__(self):
            return self.size

        def order(self, seed, epoch):
            return self.numbers

    data = ArrayDataset(np.arange(3))
    for sampler, error, message in (
        (Wrong([0, 1]), ShapeError, r"Wrong: expected an order of 3 samples, as its len says, found \(2,\)"),
        (Wrong([0, 1, 3]), IndexError, "from 0 to 2, found 0 to 3"),
        (Wrong([0, -1, 1]), IndexError, "found -1 to 1"),
    ):
        with pytest.raises(error, match=message):
            list(DataLoader(data, 2, sampler=sampler))
    assert list(DataLoader(data, 2, sampler=Wrong(np.zeros(0, int), 0))) == []
    with pytest.raises(ValueError, match="found both; the sampler alone orders"):
        DataLoader(data, 2, shuffle=True, sampler=SequentialSampler(3))
    for method in (len, lambda sampler: sampler.order(0, 0)):
        with pytest.raises(NotImplementedError, match="define it"):
            method(Sampler())
