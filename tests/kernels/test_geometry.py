"""Distances: what a call is, near and far points, the boundary of the ball, errors. Values are held by testing/cases."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError

DTYPES = (np.float32, np.float64)
ROW_OPS = (od.euclidean_distance, od.poincare_distance, od.spherical_distance)


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


def drawn(*shape, dtype=np.float32, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True) * 0.7).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 5, 17, 100, 1000, 20000])
@pytest.mark.parametrize("op", ROW_OPS)
def test_a_row_has_the_bits_of_the_row_alone(isa, threads, op, n, dtype):
    x, y = drawn(37, n, dtype=dtype), drawn(37, n, dtype=dtype, seed=1)
    whole, to_one = op(x, y), op(x, y[3])
    for i in (0, 1, 20, 36):
        equal(op(x[i], y[i]), whole[i])
        equal(op(x[i : i + 1], y[3]), to_one[i : i + 1])
    equal(op(y[3], x), to_one)


@pytest.mark.parametrize("metric", ["euclidean", "poincare", "spherical"])
def test_a_pair_depends_on_its_points_alone(isa, threads, metric):
    x, y = drawn(300, 65), drawn(150, 65, seed=1)
    y[::7] = x[:22] * np.float32(1 + 1e-4)  # near pairs among them
    whole = od.pairwise_distance(x, y, metric)
    for i, j in ((0, 0), (3, 21), (150, 149), (299, 1)):
        equal(od.pairwise_distance(x[i : i + 1], y[j : j + 1], metric), whole[i : i + 1, j : j + 1])
    own = od.pairwise_distance(x, metric=metric)
    equal(own, od.pairwise_distance(x, x.copy(), metric))
    equal(own, own.T.copy())
    equal(np.diagonal(own), np.zeros(300, np.float32)) if metric != "spherical" else None
    assert np.all(np.diagonal(own) < 1e-6)


def test_near_pairs_have_the_bits_of_rows(isa):
    x = drawn(20, 100)
    y = x + np.float32(1e-3)
    equal(np.diagonal(od.pairwise_distance(x, y)).copy(), od.euclidean_distance(x, y))
    equal(np.diagonal(od.pairwise_distance(x, y, "poincare")).copy(), od.poincare_distance(x, y))


def test_near_points_keep_digits_that_the_product_loses():
    x = np.random.default_rng(0).standard_normal((50, 300)).astype(np.float32) + 10
    y = x + np.random.default_rng(1).standard_normal((50, 300)).astype(np.float32) * np.float32(1e-3)
    exact = np.linalg.norm(x.astype(np.float64) - y, axis=1)
    ours = np.abs(np.diagonal(od.pairwise_distance(x, y)) / exact - 1).max()
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * (x @ y.T)
    product = np.abs(np.sqrt(np.maximum(np.diagonal(squares), 0)) / exact - 1).max()
    assert ours < 1e-6
    assert product > 0.01


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e25, 3e37])
def test_no_square_overflows_or_vanishes(isa, scale):
    x, y = drawn(5, 40), drawn(5, 40, seed=1)
    near = od.euclidean_distance(x, y)
    found = od.euclidean_distance(x * np.float32(scale), y * np.float32(scale))
    np.testing.assert_allclose(found, near * np.float32(scale), rtol=2e-2 if scale < 1e-40 else 1e-6)
    wide = od.spherical_distance(x, y)
    np.testing.assert_allclose(
        od.spherical_distance(x * np.float32(scale), y * np.float32(scale)), wide, rtol=2e-2 if scale < 1e-40 else 1e-6
    )
    pairs = od.pairwise_distance(x * np.float32(scale), y * np.float32(scale), "spherical")
    np.testing.assert_allclose(np.diagonal(pairs), wide, rtol=2e-2 if scale < 1e-40 else 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_poincare_near_the_boundary_against_mpmath(isa, dtype):
    mp = pytest.importorskip("mpmath", reason="mpmath is not installed: the boundary is not checked against it")
    rng = np.random.default_rng(5)
    eps = np.finfo(dtype).eps
    for n in (2, 50, 300):
        for gap in (1e-1, 1e-3, 1e-5, 4 * float(eps)):
            x, y = (rng.standard_normal((2, n)) for _ in range(2))
            x, y = ((v / np.linalg.norm(v, axis=1, keepdims=True) * (1 - gap)).astype(dtype) for v in (x, y))
            y[1] = x[1] * dtype(1 - 3 * eps)
            with mp.workdps(60):
                xs, ys = ([[mp.mpf(float(e)) for e in row] for row in v] for v in (x, y))
                gaps = [[1 - mp.fsum(e * e for e in row) for row in v] for v in (xs, ys)]
                if min(map(min, gaps)) <= 0:
                    continue
                exact = [
                    2 * mp.asinh(mp.sqrt(mp.fsum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / (g * h)))
                    for p, q, g, h in zip(xs, ys, *gaps, strict=True)
                ]
            found = od.poincare_distance(x, y)
            for f, e in zip(found, exact, strict=True):
                assert abs(mp.mpf(float(f)) / e - 1) < 16 * eps, (n, gap)
            pairs = np.diagonal(od.pairwise_distance(x, y, "poincare"))
            np.testing.assert_allclose(pairs, found, rtol=(4 * n + 40) * eps)


def test_angles_against_mpmath(isa):
    mp = pytest.importorskip("mpmath", reason="mpmath is not installed: angles are not checked against it")
    rng = np.random.default_rng(6)
    x = rng.standard_normal((60, 9))
    y = rng.standard_normal((60, 9)) * 10.0 ** -np.linspace(0, 17, 60)[:, None] + x * np.where(np.arange(60) % 2, 1, -1)[:, None]
    with mp.workdps(50):
        exact = []
        for p, q in zip(x.tolist(), y.tolist(), strict=True):
            p, q = [mp.mpf(v) for v in p], [mp.mpf(v) for v in q]
            a, b = mp.sqrt(mp.fsum(v * v for v in p)), mp.sqrt(mp.fsum(v * v for v in q))
            minus = mp.sqrt(mp.fsum((u / a - v / b) ** 2 for u, v in zip(p, q, strict=True)))
            plus = mp.sqrt(mp.fsum((u / a + v / b) ** 2 for u, v in zip(p, q, strict=True)))
            exact.append(float(2 * mp.atan2(minus, plus)))
    np.testing.assert_allclose(od.spherical_distance(x, y), exact, rtol=4e-15, atol=4e-16)


@pytest.mark.parametrize("c", [0.3, 1.0, 4.0])
def test_poincare_against_geoopt(c):
    geoopt = pytest.importorskip("geoopt", reason="geoopt is not installed: distances are not compared with its")
    torch = pytest.importorskip("torch")
    ball = geoopt.PoincareBall(c=c)
    x, y = drawn(20, 6, dtype=np.float64) / np.sqrt(c), drawn(20, 6, dtype=np.float64, seed=1) / np.sqrt(c)
    np.testing.assert_allclose(od.poincare_distance(x, y, c), ball.dist(torch.tensor(x), torch.tensor(y)), rtol=1e-9)


def test_points_outside_the_ball_are_an_error_or_infinitely_far(isa):
    x = np.float32([[0.1, 0.2], [0.9, 0.9], [np.nan, 0], [1, 0]])
    y = np.float32([0, 0.5])
    with pytest.raises(ValueError, match=r"x\[1\] has 1\.27.*\n.*2 outside\n.*project_to_ball"):
        od.poincare_distance(x, y)
    with pytest.raises(ValueError, match=r"y has 1\.27"):
        od.poincare_distance(x[:1], x[1])
    with pytest.raises(ValueError, match=r"y\[1\]"):
        od.pairwise_distance(x[:1], x, "poincare")
    with pytest.raises(ValueError, match="inside the ball"):
        od.poincare_distance_backward(np.ones(4, np.float32), x, y)
    found = od.poincare_distance(x, y, outside="inf")
    assert np.isfinite(found[0])
    equal(found[1:], np.float32([np.inf, np.nan, np.inf]))
    equal(od.pairwise_distance(x, x, "poincare", outside="inf")[1], np.float32([np.inf, np.inf, np.nan, np.inf]))
    dx, _ = od.poincare_distance_backward(np.ones(4, np.float32), x, y, outside="inf")
    equal(dx[1], np.zeros(2, np.float32))
    for c in (0, -1.0, np.inf, np.nan, 1e-60):
        with pytest.raises(ValueError, match="c must be positive and finite"):
            od.poincare_distance(x[:1], y, c)
    with pytest.raises(ValueError, match="outside must be 'raise' or 'inf'"):
        od.poincare_distance(x, y, outside="nan")


def test_vectors_of_length_0_are_an_error_or_at_a_right_angle(isa):
    x = np.float32([[0, 0], [1, 1e-45]])
    with pytest.raises(ValueError, match=r"x\[0\] is one"):
        od.spherical_distance(x, x[1])
    with pytest.raises(ValueError, match="no direction"):
        od.pairwise_distance(x, metric="spherical")
    equal(od.spherical_distance(x, x[1], zero="allow"), np.float32([np.pi / 2, 0]))
    equal(od.pairwise_distance(x, metric="spherical", zero="allow"), np.float32([[0, np.pi / 2], [np.pi / 2, 0]]))
    assert od.spherical_distance(np.float32([1e-45, 0]), np.float32([0, 1e-45])) == np.float32(np.pi / 2)


def test_gradients_where_there_is_none_are_0(isa):
    x = np.float32([[0.1, 0.2], [0.3, 0]])
    for op in ("euclidean_distance_backward", "poincare_distance_backward", "spherical_distance_backward"):
        for gradient in getattr(od, op)(np.ones(2, np.float32), x, x.copy()):
            equal(gradient, np.zeros((2, 2), np.float32))
    equal(od.pairwise_distance_backward(np.eye(2, dtype=np.float32), x)[0], np.zeros((2, 2), np.float32))


def test_layouts_and_out(isa):
    x, y = drawn(6, 33), drawn(6, 33, seed=1)
    for op in ROW_OPS:
        expected = op(x, y)
        out = np.zeros(12, np.float32)[::2]
        assert op(np.asfortranarray(x), np.repeat(y, 2, -1)[..., ::2], out=out) is out
        equal(out.copy(), expected)
        with pytest.raises(LayoutError, match="out overlaps x"):
            op(x, y, out=x[0, :6])
    expected = od.pairwise_distance(x, y)
    out = np.zeros((6, 12), np.float32)[:, ::2]
    od.pairwise_distance(np.asfortranarray(x), y, out=out)
    equal(out.copy(), expected)
    equal(od.pairwise_distance(x[:0], y), np.zeros((0, 6), np.float32))
    equal(od.euclidean_distance(x[:, :0], y[:, :0]), np.zeros(6, np.float32))


def test_wrong_arguments_are_explained():
    x = drawn(3, 4)
    with pytest.raises(ShapeError, match=r"of all pairs: od.pairwise_distance"):
        od.euclidean_distance(x, drawn(5, 4))
    with pytest.raises(ShapeError, match="or one of them a point"):
        od.euclidean_distance(x, drawn(5))
    with pytest.raises(ShapeError, match=r"x must be \(m, n\) and y \(k, n\)"):
        od.pairwise_distance(x, drawn(5, 3))
    with pytest.raises(DTypeError, match="one dtype"):
        od.euclidean_distance(x, x.astype(np.float64))
    with pytest.raises(ValueError, match=r"metric must be one of 'euclidean'"):
        od.pairwise_distance(x, metric="cosine")
    with pytest.raises(ShapeError, match="one value for each distance"):
        od.euclidean_distance_backward(np.ones(2, np.float32), x, x)
