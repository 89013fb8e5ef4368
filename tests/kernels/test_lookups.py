"""Embedding and dropout: what an index may be, whose words fall, and that order and place decide alone."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError
from odyssey.reference.dropout import philox, words

DTYPES = (np.float32, np.float64)


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


def drawn(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_indices_of_both_kinds_and_any_layout(isa, kind):
    table = drawn(11, 19)
    index = np.random.default_rng(1).integers(0, 11, (4, 6)).astype(kind)
    for view in (index, index.T, index[::-1, ::2], index[0, 0], index[:0]):
        equal(od.embedding(table, view), table[view])
    equal(od.embedding(table.T.copy().T, index), table[index])
    equal(od.embedding(drawn(11, 40)[:, 3:22], index), drawn(11, 40)[:, 3:22][index])


@pytest.mark.parametrize("bad", [-1, 11, 2**40])
def test_an_index_that_is_no_row_is_named(bad):
    index = np.zeros((3, 4), np.int64)
    index[1, 2] = bad
    with pytest.raises(IndexError, match=rf"indices must lie in \[0, 11\).*indices\[1, 2\] = {bad}"):
        od.embedding(drawn(11, 3), index)
    with pytest.raises(IndexError, match=r"indices\[1, 2\]"):
        od.embedding_backward(drawn(3, 4, 5), index, 11)


def test_embedding_names_what_does_not_fit():
    table, index = drawn(5, 3), np.array([0, 1])
    with pytest.raises(DTypeError, match="int64 or int32"):
        od.embedding(table, np.array([0.0]))
    with pytest.raises(ShapeError, match=r"weight must be \(rows, n\)"):
        od.embedding(table[0], index)
    with pytest.raises(ShapeError, match="one axis more"):
        od.embedding_backward(table, index, 5)
    with pytest.raises(IndexError, match="padding_idx must be a row"):
        od.embedding_backward(drawn(2, 3), index, 5, 5)
    with pytest.raises(LayoutError, match="out overlaps weight"):
        od.embedding(table, index, out=table[:2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_is_the_sum_in_the_order_of_the_positions(isa, threads, dtype):
    rng = np.random.default_rng(2)
    index = np.minimum(rng.geometric(0.05, 4000) - 1, 99)  # some rows have most of the positions
    grad = rng.standard_normal((4000, 21)).astype(dtype)
    expected = np.zeros((100, 21), dtype)
    for i, row in enumerate(index):
        if row != 3:
            expected[row] += grad[i]
    equal(od.embedding_backward(grad, index, 100, padding_idx=3), expected)
    equal(od.embedding_backward(grad, index, 100, padding_idx=-97), expected)


def test_a_large_table_is_streamed_with_the_same_bits(isa):
    index = np.array([7, 30_000, 7])
    for n in (320, 333):  # rows that are whole lines, and rows that are not
        grad = drawn(3, n)
        found = od.embedding_backward(grad, index, 30_001)
        equal(found[7], grad[0] + grad[2])
        equal(found[30_000], grad[1])
        assert not found[8:30_000].any()
        many = np.resize(index, 30_000)
        equal(od.embedding(found, many)[-3:], found[index])


def test_philox_gives_the_words_of_its_authors():
    """The known answers of Random123, kat_vectors."""
    ones = 0xFFFFFFFF
    for counter, key, expected in (
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ones,) * 4, (ones,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ):
        assert tuple(int(w) for w in philox([np.uint64(c) for c in counter], key)) == expected


@pytest.mark.parametrize("p", [2.0**-31, 0.1, 0.5, 0.999])
def test_an_elements_fate_is_its_places(isa, threads, p):
    n = 70_001
    kept = words(n, 5, 9) >= np.rint(p * 2**32)
    for dtype in DTYPES:
        found = od.dropout(np.ones(n, dtype), p, 5, 9)
        equal(found != 0, kept)
        equal(od.dropout(np.ones(1000, dtype), p, 5, 9), found[:1000])
        grid = np.ones((7, 10_000), dtype)
        equal(od.dropout(np.asfortranarray(grid), p, 5, 9).reshape(-1), found[:70_000])
        equal(od.dropout_backward(np.ones(n, dtype), p, 5, 9), found)
        same = np.ones(n, dtype)
        od.dropout(same, p, 5, 9, out=same)
        equal(same, found)


def test_the_share_that_falls_is_p_and_offsets_are_independent():
    ones = np.ones(1_000_000, np.float32)
    masks = [od.dropout(ones, 0.3, seed, offset) == 0 for seed in (0, 1) for offset in (0, 1)]
    for mask in masks:
        assert abs(mask.mean() - 0.3) < 0.002
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert abs((one & other).mean() - 0.09) < 0.002


def test_dropout_of_nothing_and_of_everything():
    x = np.float32([1, np.nan, -np.inf])
    equal(od.dropout(x, 0), x)
    equal(od.dropout(x, 1), np.zeros(3, np.float32))
    assert isinstance(od.dropout(np.float32(3), 0.0), np.float32)
    for wrong in ({"p": 1.5}, {"p": -0.1}, {"p": float("nan")}, {"seed": -1}, {"seed": 2**64}, {"offset": 2**64}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}.* must lie in"):
            od.dropout(x, **wrong)
        with pytest.raises(ValueError, match="must lie in"):
            od.reference.dropout(x, **wrong)
