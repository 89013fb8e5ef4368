import numpy as np
import pytest

from odyssey.data import ArrayDataset, DataLoader, Dataset
from odyssey.errors import FormatError, ShapeError


def numbers(loader):
    return [batch[0].tolist() for batch in loader]


def make(count=10, **options):
    return DataLoader(ArrayDataset(np.arange(count)), **{"batch_size": 3, **options})


def test_batches_in_order():
    loader = make()
    assert numbers(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert len(loader) == 4


def test_a_last_batch_can_be_dropped():
    loader = make(drop_last=True)
    assert numbers(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert len(loader) == 3
    assert len(make(9, drop_last=True)) == len(make(9)) == 3


def test_shuffling_depends_on_seed_and_epoch_alone():
    one, two, other = make(shuffle=True, seed=1), make(shuffle=True, seed=1), make(shuffle=True, seed=2)
    first, second = numbers(one), numbers(one)
    assert first != second
    assert [first, second] == [numbers(two), numbers(two)]
    assert first != numbers(other)
    for epoch in (first, second):
        assert sorted(number for batch in epoch for number in batch) == list(range(10))


@pytest.mark.parametrize("batches", [0, 1, 3, 4, 5, 8])
def test_a_loader_goes_on_where_another_was(batches):
    def forever(loader):
        while True:
            yield from loader

    def noise(batch, generator):
        return (batch[0] + generator.normal(size=batch[0].shape),)

    options = {"shuffle": True, "seed": 5, "transform": noise}
    whole = make(**options)
    expected = [batch[0].tolist() for batch, _ in zip(forever(whole), range(10), strict=False)]
    one = make(**options)
    source = forever(one)
    for _ in range(batches):
        next(source)
    two = make(**options)
    two.load_state_dict(one.state_dict())
    rest = [batch[0].tolist() for batch, _ in zip(forever(two), range(10 - batches), strict=False)]
    assert rest == expected[batches:]


def test_an_iteration_left_early_begins_anew():
    loader = make(shuffle=True)
    first = next(iter(loader))[0].tolist()
    assert numbers(loader)[0] == first


def test_a_foreign_state_is_refused():
    loader = make(seed=3)
    good = loader.state_dict()
    for wrong, message in (
        ({}, "a number 'epoch'"),
        ({**good, "batch": -1}, "a number 'batch'"),
        ({**good, "batch": "2"}, "a number 'batch'"),
        ({**good, "seed": 4}, "seed=3, found 4"),
        ({**good, "batch_size": 4}, "batch_size=3, found 4"),
        ({**good, "batch": 5}, "at most 4 batches handed out, found 5"),
    ):
        with pytest.raises(FormatError, match=message):
            loader.load_state_dict(wrong)


def test_senseless_settings_are_refused():
    with pytest.raises(ValueError, match="batch_size"):
        make(batch_size=0)
    with pytest.raises(ValueError, match="seed"):
        make(seed=-1)
    with pytest.raises(ShapeError, match=r"found shapes \(2,\), \(3,\)"):
        ArrayDataset(np.zeros(2), np.zeros(3))


def test_a_dataset_of_ones_own_is_stacked():
    class Squares(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return np.full(2, index), index * index

    batches = list(DataLoader(Squares(), 2))
    assert batches[1][0].tolist() == [[2, 2], [3, 3]]
    assert batches[1][1].tolist() == [4, 9]
    with pytest.raises(NotImplementedError, match="__len__"):
        len(Dataset())
