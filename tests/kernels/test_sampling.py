"""Sampling: the cut where many logits are equal or masked, the distribution, and what is refused."""

import numpy as np
import pytest

import odyssey as od

OPS = (
    ("sample", ()),
    ("topk_sample", (3,)),
    ("topk_sample", (100,)),
    ("topp_sample", (0.5,)),
    ("topp_sample", (1.0,)),
)


def test_equal_logits_keep_those_of_the_lowest_indices():
    x = np.zeros(1000, np.float32)
    rng = np.random.default_rng(0)
    assert max(int(od.topk_sample(x, 7, 1.0, rng)) for _ in range(200)) == 6
    assert max(int(od.topp_sample(x, 0.01, 1.0, rng)) for _ in range(200)) == 9


@pytest.mark.parametrize(("op", "more"), OPS)
def test_what_is_masked_is_never_drawn(op, more):
    x = np.full((300, 400), -np.inf, np.float32)
    x[np.arange(300), np.arange(300)] = 1
    found = getattr(od, op)(x, *more, generator=np.random.default_rng(1))
    assert np.array_equal(found, np.arange(300))


@pytest.mark.parametrize(("op", "more"), OPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ops", [od, od.reference], ids=["fast", "reference"])
def test_a_temperature_whose_inverse_is_infinite_takes_the_largest(op, more, dtype, ops):
    logits = np.array([0, 1, 1, -1], dtype)
    assert getattr(ops, op)(logits, *more, temperature=float(np.finfo(dtype).smallest_subnormal)) == 1


def test_frequencies_are_those_of_softmax():
    x = np.log(np.float32([0.5, 0.3, 0.2]))
    found = od.sample(np.tile(x, (20_000, 1)), generator=np.random.default_rng(2))
    np.testing.assert_allclose(np.bincount(found) / 20_000, [0.5, 0.3, 0.2], atol=0.015)


@pytest.mark.parametrize(("op", "more"), OPS)
@pytest.mark.parametrize("scale", [0.1, 1, 8])
def test_large_vocabularies_agree_with_the_definition(op, more, scale):
    x = (scale * np.random.default_rng(3).standard_normal((4, 50_000))).astype(np.float32)
    fast = getattr(od, op)(x, *more, generator=np.random.default_rng(4))
    assert np.array_equal(fast, getattr(od.reference, op)(x, *more, generator=np.random.default_rng(4)))


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.9, 1 - 1e-9])
@pytest.mark.parametrize("kind", ["equal", "two values", "masked", "one heavy", "heavy run"])
def test_a_guessed_cut_may_be_wrong(p, kind):
    x = np.random.default_rng(5).standard_normal((3, 20_011)).astype(np.float32)
    if kind == "equal":
        x[:] = 3
    elif kind == "two values":
        x = np.sign(x)
    elif kind == "masked":
        x[:, ::2] = -np.inf
    elif kind == "one heavy":
        x[:, 777] = 30
    else:  # between the vectors that a guess looks at
        x[:, 5000:5016] += 12
    for seed in range(8):
        fast, slow = (
            draw(x, p, generator=np.random.default_rng(seed)) for draw in (od.topp_sample, od.reference.topp_sample)
        )
        assert np.array_equal(fast, slow)


@pytest.mark.parametrize(("op", "more"), OPS)
def test_what_cannot_be_drawn_from_is_refused(op, more):
    draw = getattr(od, op)
    with pytest.raises(ValueError, match="NaN or \\+inf in row 1"):
        draw(np.float32([[1, 2], [np.nan, 3]]), *more)
    with pytest.raises(ValueError, match="all logits are -inf"):
        draw(np.full(3, -np.inf), *more)
    with pytest.raises(ValueError, match="temperature"):
        draw(np.zeros(3), *more, temperature=-1.0)
    with pytest.raises(ValueError, match="no token"):
        draw(np.zeros(0), *more)
    with pytest.raises(od.errors.ShapeError):
        draw(np.zeros((1, 2, 3)), *more)


def test_k_and_p_have_their_bounds():
    with pytest.raises(ValueError, match="k must be"):
        od.topk_sample(np.zeros(3), 0)
    for p in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="p must be"):
            od.topp_sample(np.zeros(3), p)
