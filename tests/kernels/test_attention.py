"""Attention: a row is a row, whoever stands beside it; caches, heads, masks, and what a mask keeps out."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError

ISAS = od.isa.available()
attend = od.scaled_dot_product_attention


def draw(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture(params=ISAS)
def isa(request):
    with od.isa.use(request.param):
        yield request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", [8, 40])
def test_a_query_over_a_cache_has_the_bits_of_its_row_in_the_full_pass(isa, dtype, depth):
    length = 300  # three blocks of keys
    q, k, v = (draw(2, length, depth, dtype=dtype, seed=i) for i in range(3))
    full = attend(q, k, v, is_causal=True)
    for i in (0, 1, 14, 15, 16, 31, 32, 126, 127, 128, 129, 200, 255, 256, 299):
        alone = attend(q[:, i : i + 1], k[:, : i + 1], v[:, : i + 1], is_causal=True)
        assert alone.tobytes() == full[:, i : i + 1].tobytes(), i


@pytest.mark.parametrize("queries", [1, 2, 3, 5, 8, 9, 16, 17, 33])
def test_the_newest_queries_over_a_cache_have_the_bits_of_the_full_pass(isa, queries):
    q, k, v = (draw(1, 150, 24, seed=i) for i in range(3))
    full = attend(q, k, v, is_causal=True)
    newest = attend(q[:, -queries:], k, v, is_causal=True)
    assert newest.tobytes() == full[:, -queries:].tobytes()


@pytest.mark.parametrize("masked", ["bool", "add"])
def test_rows_under_a_mask_have_the_bits_of_the_row_alone(isa, masked):
    q, k, v = draw(40, 20), draw(200, 20, seed=1), draw(200, 9, seed=2)
    mask = draw(40, 200, seed=3)
    if masked == "bool":
        mask = mask > 0
    full = attend(q, k, v, mask)
    for i in range(40):
        assert attend(q[i : i + 1], k, v, mask[i : i + 1]).tobytes() == full[i].tobytes()


def test_a_block_that_a_mask_hides_changes_no_bit(isa):
    q, k, v = draw(20, 16), draw(400, 16, seed=1), draw(400, 16, seed=2)
    mask = np.arange(400) < 256
    expected = attend(q, k[:256], v[:256])
    assert attend(q, k, v, mask).tobytes() == expected.tobytes()
    assert attend(q[:1], k, v, mask).tobytes() == expected[:1].tobytes()


@pytest.mark.parametrize("junk", [np.nan, np.inf])
@pytest.mark.parametrize("queries", [1, 4, 20])
def test_what_is_masked_out_may_hold_anything(isa, junk, queries):
    q, k, v = draw(queries, 16), draw(140, 16, seed=1), draw(140, 16, seed=2)
    mask = draw(queries, 140, seed=3) > 0
    mask[:, [3, 130]] = False
    expected = attend(q, k, v, mask)
    k[[3, 130]] = v[[3, 130]] = junk
    assert attend(q, k, v, mask).tobytes() == expected.tobytes()
    later = attend(q, k[:3], v[:3], is_causal=True)
    padded = attend(np.concatenate([q, q[:1]]), k[:4], v[:4], is_causal=True)
    assert padded[:-1].tobytes() == later.tobytes()


def test_junk_that_takes_part_shows():
    q, k, v = draw(20, 16), draw(40, 16, seed=1), draw(40, 16, seed=2)
    v[3, 5] = np.nan
    assert np.isnan(attend(q, k, v)[:, 5]).all()
    assert not np.isnan(attend(q, k, v)[:, 4]).any()
    k[7, 0] = np.nan
    assert np.isnan(attend(q, k, v)).all()


@pytest.mark.parametrize("mask", [np.zeros((3, 5), bool), np.full((3, 5), -np.inf, np.float32)])
def test_a_row_without_keys_is_zero(isa, mask):
    q, k, v = draw(3, 4), draw(5, 4), draw(5, 2)
    mask[1] = True if mask.dtype == bool else 0
    y = attend(q, k, v, mask)
    assert not y[0].any()
    assert not y[2].any()
    assert y[1].any()
    assert not attend(draw(4, 4), k[:2], v[:2], is_causal=True)[:2].any()  # more queries than keys
    assert not attend(q, k[:0], v[:0]).any()


def test_heads_of_queries_share_heads_of_keys(isa):
    q, k, v = draw(2, 6, 19, 16), draw(2, 2, 33, 16, seed=1), draw(2, 2, 33, 16, seed=2)
    repeated = attend(q, np.repeat(k, 3, axis=1), np.repeat(v, 3, axis=1), is_causal=True)
    assert attend(q, k, v, is_causal=True).tobytes() == repeated.tobytes()


def test_a_view_into_a_cache_is_read_where_it_lies(isa):
    cache = draw(2, 100, 4, 16)  # (batch, positions, heads, depth)
    q = draw(2, 4, 3, 16, seed=1)
    view = cache[:, :70].transpose(0, 2, 1, 3)
    assert attend(q, view, view).tobytes() == attend(q, view.copy(), view.copy()).tobytes()
    out = np.zeros((2, 3, 4, 16), np.float32).transpose(0, 2, 1, 3)
    assert attend(q, view, view, out=out) is out
    assert out.tobytes() == attend(q, view, view).tobytes()


def test_two_axes_are_one_head():
    q, k, v = draw(5, 8), draw(7, 8, seed=1), draw(7, 3, seed=2)
    assert attend(q, k, v).tobytes() == attend(q[None], k[None], v[None])[0].tobytes()
    g = draw(5, 3, seed=3)
    for one, other in zip(
        od.scaled_dot_product_attention_backward(g, q, k, v),
        od.scaled_dot_product_attention_backward(g[None], q[None], k[None], v[None]),
        strict=True,
    ):
        assert one.tobytes() == other[0].tobytes()


def test_masks_broadcast():
    q, k, v = draw(2, 3, 20, 8), draw(2, 3, 30, 8, seed=1), draw(2, 3, 30, 8, seed=2)
    for shape in ((30,), (20, 1), (20, 30), (3, 1, 30), (2, 1, 1, 30), (2, 3, 20, 30), (1, 1)):
        for mask in (draw(*shape, seed=3), draw(*shape, seed=3) > -1):
            whole = np.broadcast_to(mask, (2, 3, 20, 30))
            assert attend(q, k, v, mask).tobytes() == attend(q, k, v, whole.copy()).tobytes()
            assert attend(q, k, v, whole).tobytes() == attend(q, k, v, mask).tobytes()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"query": draw(2, 5, 7)}, ShapeError, "depth"),
        ({"query": draw(3, 5, 8)}, ShapeError, "multiple"),
        ({"query": draw(8)}, ShapeError, "heads, queries, depth"),
        ({"value": draw(2, 5, 8)}, ShapeError, "one value for each key"),
        ({"attn_mask": np.ones((4, 6), bool)}, ShapeError, "broadcast"),
        ({"attn_mask": np.ones((1, 2, 5, 6), bool)}, ShapeError, r"reshape\(\(2, 5, 6\)\)"),
        ({"attn_mask": np.ones((3, 2, 5, 6), bool)}, ShapeError, "broadcast"),
        ({"attn_mask": np.ones((5, 6), np.int64)}, DTypeError, "bool"),
        ({"key": draw(2, 6, 8, dtype=np.float64)}, DTypeError, "one dtype"),
        ({"out": np.zeros((2, 5, 9), np.float32)}, ShapeError, "out"),
    ],
)
def test_what_does_not_fit_is_named(change, error, words):
    arguments = {"query": draw(2, 5, 8), "key": draw(2, 6, 8), "value": draw(2, 6, 8)} | change
    with pytest.raises(error, match=words):
        attend(**arguments)


def test_out_may_not_be_an_input():
    q, k = draw(2, 5, 8), draw(2, 6, 8)
    with pytest.raises(LayoutError, match="overlaps"):
        attend(q, k, k, out=q)


def test_rotating_back_gives_the_row():
    cos, sin = od.rotary_tables(9, 12, dtype=np.float64)
    x = draw(2, 9, 16, dtype=np.float64)
    for interleaved in (False, True):
        y = od.rotary_embedding(x, cos, sin, interleaved)
        assert y[..., 12:].tobytes() == x[..., 12:].tobytes()
        np.testing.assert_allclose(od.rotary_embedding_backward(y, cos, sin, interleaved), x, rtol=1e-13)
        in_place = x.copy()
        assert od.rotary_embedding(in_place, cos, sin, interleaved, in_place).tobytes() == y.tobytes()


def test_rotary_tables_are_for_x_or_are_refused():
    cos, sin = od.rotary_tables(10, 8)
    with pytest.raises(ShapeError, match="rows of x's positions"):
        od.rotary_embedding(draw(5, 8), cos, sin)
    with pytest.raises(ShapeError, match="half as many"):
        od.rotary_embedding(draw(10, 6), cos, sin)
    with pytest.raises(ValueError, match="even"):
        od.rotary_tables(10, 7)
    with pytest.raises(DTypeError, match="float32 or float64"):
        od.rotary_tables(10, 8, dtype=np.int32)
