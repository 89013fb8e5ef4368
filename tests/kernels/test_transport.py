"""What the rows of the table do not say about Sinkhorn-Knopp and entropic transport."""

import warnings

import numpy as np
import pytest

import odyssey as od
from odyssey.nn import functional as F
from odyssey.testing import gradcheck


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def weights(n, seed):
    w = np.random.default_rng(seed).random(n) + 0.1
    return w / w.sum()


def problem(m, n, seed=0):
    x, y = np.random.default_rng(seed).random((m, 2)), np.random.default_rng(seed + 1).random((n, 2))
    return weights(m, seed), weights(n, seed + 1), ((x[:, None] - y) ** 2).sum(axis=-1)


# ---- Sinkhorn-Knopp --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (3, 7, 7), (20, 20), (2, 9, 40)])
def test_the_form_of_hyper_connections_is_the_formula(shape):
    x, eps = drawn(*shape), 1e-3
    m = od.softmax(x) + eps
    m /= m.sum(axis=-2, keepdims=True) + eps
    for _ in range(6):
        m /= m.sum(axis=-1, keepdims=True) + eps
        m /= m.sum(axis=-2, keepdims=True) + eps
    np.testing.assert_allclose(od.sinkhorn_knopp(x, 7, eps), m, rtol=1e-13)


@pytest.mark.parametrize("shape", [(3, 5, 5), (12, 12), (70, 9)])
def test_columns_first_is_rows_first_of_the_transpose(shape):
    x = drawn(*shape)
    found = od.sinkhorn_knopp(x, 5, order="columns")
    np.testing.assert_array_equal(found, od.sinkhorn_knopp(x.swapaxes(-1, -2), 5).swapaxes(-1, -2))


@pytest.mark.parametrize("n", [4, 30])
def test_sums_converge_to_one_and_with_damping_to_what_it_leaves(n):
    x = np.exp(drawn(n, n))
    y, residuals = od.sinkhorn_knopp(x, 200, eps=0.0, from_logits=False, residuals=True)
    np.testing.assert_allclose(y.sum(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-12)
    assert residuals.shape == (2,)
    assert residuals.max() < 1e-12
    y = od.sinkhorn_knopp(x, 400, from_logits=False, damping=0.25)
    np.testing.assert_allclose(y.sum(axis=1), 0.75, rtol=1e-10)


@pytest.mark.parametrize("shape", [(5, 4, 4), (2, 3, 20, 11), (2, 5, 140), (0, 4, 4), (4, 0)])
@pytest.mark.parametrize("order", ["rows", "columns"])
def test_residuals_are_how_far_the_sums_are_from_one(shape, order):
    y, residuals = od.sinkhorn_knopp(drawn(*shape), 2, order=order, residuals=True)
    assert residuals.shape == (*shape[:-2], 2)
    for k, axis in enumerate((-1, -2)):
        expected = np.abs(y.sum(axis=axis) - 1).max(axis=-1, initial=0)
        np.testing.assert_allclose(residuals[..., k], expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 137), (137, 6), (12, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_that_leave_the_range_of_the_type_are_multiplied_in(shape, dtype):
    rng = np.random.default_rng(0)
    x = (10.0 ** (rng.uniform(-3, 0, shape) + rng.uniform(-30, 30, (shape[0], 1)))).astype(dtype)
    found = od.sinkhorn_knopp(x, 200, eps=0.0, from_logits=False)
    expected = od.reference.sinkhorn_knopp(x.astype(np.float64), 200, eps=0.0, from_logits=False)
    np.testing.assert_allclose(found, expected, rtol=2e-4 if dtype == np.float32 else 1e-11, atol=1e-30)


@pytest.mark.parametrize("n", [4, 12])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_lines_of_zeros_stay_zeros_and_disturb_nobody(n, eps):
    x = np.exp(drawn(n, n)).astype(np.float32)
    x[1], x[:, 2] = 0, 0
    y = od.sinkhorn_knopp(x, 100, eps=eps, from_logits=False)
    assert (y[1] == 0).all()
    assert (y[:, 2] == 0).all()
    assert np.isfinite(y).all()


@pytest.mark.parametrize("n", [3, 12])
def test_factors_that_run_apart_are_multiplied_in(n):
    x = np.zeros((n, n), np.float32)  # no doubly stochastic limit: the factors of two rows double for ever
    x[:, 0], x[-1] = 1, 1
    y = od.sinkhorn_knopp(x, 1000, eps=0.0, from_logits=False)
    np.testing.assert_allclose(
        y, od.reference.sinkhorn_knopp(x, 1000, eps=0.0, from_logits=False), rtol=1e-4, atol=1e-30
    )
    scaled = (x + 1) * np.logspace(-30, 30, n, dtype=np.float32)[:, np.newaxis]
    np.testing.assert_allclose(
        od.sinkhorn_knopp(scaled, 5, 0.0, from_logits=False),
        od.sinkhorn_knopp(x + 1, 5, 0.0, from_logits=False),
        rtol=1e-5,
    )


@pytest.mark.parametrize("n", [4, 20])
def test_nan_stays_in_its_matrix(n):
    x = drawn(3, n, n)
    x[1, 2, 1] = np.nan
    y = od.sinkhorn_knopp(x)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize("shape", [(4, 4), (2, 11, 11), (3, 5)])
@pytest.mark.parametrize("method", ["unrolled", "implicit"])
def test_gradients_of_converged_iterations(shape, method):
    tensors = [od.Tensor(0.5 * drawn(*shape), requires_grad=True)]
    gradcheck(lambda x: F.sinkhorn_knopp(x, 60, 1e-3, method=method), tensors, rtol=2e-6, atol=1e-7)
    gradcheck(lambda x: F.sinkhorn_knopp(F.exp(x), 60, from_logits=False, method=method), tensors, rtol=2e-6, atol=1e-7)


def test_gradients_of_more_iterations_than_a_segment():
    tensors = [od.Tensor(drawn(2, 3, 3), requires_grad=True)]
    gradcheck(lambda x: F.sinkhorn_knopp(x, 70, 0.05, damping=0.2), tensors)


def test_wrong_options_are_named():
    for options in ({"iterations": 0}, {"tau": 0}, {"eps": -1}, {"order": "both"}, {"damping": np.nan}):
        with pytest.raises(ValueError, match=next(iter(options))):
            od.sinkhorn_knopp(drawn(4, 4), **options)
    with pytest.raises(ValueError, match="method"):
        od.sinkhorn_knopp_backward(drawn(4, 4), drawn(4, 4), method="both")
    with pytest.raises(od.errors.ShapeError):
        od.sinkhorn_knopp(drawn(4))


# ---- entropic transport ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reg", [1.0, 0.05, 1e-2, 1e-3])
def test_plans_have_the_marginals_even_for_a_small_reg(dtype, reg):
    a, b, cost = (x.astype(dtype) for x in problem(40, 50))
    plan, log = od.sinkhorn(a, b, cost, reg, iterations=20_000, tolerance=1e-5, log=True)
    assert log.converged
    assert np.isfinite(plan).all()
    np.testing.assert_allclose(plan.sum(axis=1), a, rtol=1e-4)
    assert np.abs(plan.sum(axis=0) - b).sum() < 1e-3
    f, g = log.f[:, np.newaxis].astype(np.float64), log.g.astype(np.float64)
    if dtype == np.float64:
        np.testing.assert_allclose(a[:, np.newaxis] * b * np.exp((f + g - cost) / reg), plan, rtol=1e-6, atol=1e-14)


def test_a_tiny_reg_gives_the_assignment():
    n, rng = 12, np.random.default_rng(3)
    cost = rng.random((n, n)) + 1.0
    order = rng.permutation(n)
    cost[np.arange(n), order] = 0.0
    a = np.full(n, 1 / n)
    plan = od.sinkhorn(a, a, cost, 1e-4)
    np.testing.assert_allclose(plan[np.arange(n), order], 1 / n, rtol=1e-6)


def test_iterations_that_do_not_suffice_are_told():
    with pytest.warns(RuntimeWarning, match="not converged after 3"):
        _, log = od.sinkhorn(*problem(20, 30), 1e-3, iterations=3, log=True)
    assert not log.converged
    assert log.iterations == 3
    assert log.error > 1e-6


def test_weights_of_zero_take_no_part():
    a, b, cost = problem(9, 11)
    a[3], b[5] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    plan = od.sinkhorn(a, b, cost, 0.1)
    assert (plan[3] == 0).all()
    assert (plan[:, 5] == 0).all()
    kept = od.sinkhorn(np.delete(a, 3), np.delete(b, 5), np.delete(np.delete(cost, 3, 0), 5, 1), 0.1)
    np.testing.assert_allclose(np.delete(np.delete(plan, 3, 0), 5, 1), kept, rtol=1e-5)


@pytest.mark.parametrize("reg", [0.5, 0.02])
def test_plans_are_those_of_pot(reg):
    ot = pytest.importorskip("ot", reason="POT is not installed: nothing to compare plans with")
    a, b, cost = problem(30, 45)
    expected = ot.sinkhorn(a, b, cost, reg, method="sinkhorn_log", stopThr=1e-12, numItermax=100_000)
    np.testing.assert_allclose(
        od.sinkhorn(a, b, cost, reg, tolerance=1e-12, iterations=100_000), expected, rtol=1e-7, atol=1e-14
    )
    for reg_m in (0.1, 5.0):
        expected = ot.unbalanced.sinkhorn_unbalanced(a, 1.5 * b, cost, reg, reg_m, stopThr=1e-13, numItermax=100_000)
        found = od.sinkhorn(a, 1.5 * b, cost, reg, reg_m, tolerance=1e-12, iterations=100_000)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("reg_m", [None, 0.7])
def test_gradients_of_plans(reg_m):
    a, b, cost = problem(6, 7)

    def plan(cost, u, v):  # weights on the simplex: those are the ones a plan can have
        return F.sinkhorn(F.softmax(u), F.softmax(v), cost, 0.3, reg_m, 5000, 1e-14)

    inputs = [od.Tensor(x, requires_grad=True) for x in (cost, np.log(a), np.log(b))]
    gradcheck(plan, inputs, rtol=1e-5, atol=1e-7)


def test_problems_that_have_no_plan_are_refused():
    a, b, cost = problem(5, 6)
    for call, what in (
        (lambda: od.sinkhorn(a, 2 * b, cost, 0.1), "add up"),
        (lambda: od.sinkhorn(-a, b, cost, 0.1), "negative"),
        (lambda: od.sinkhorn(a, b, np.where(cost > 0.5, np.inf, cost), 0.1), "finite"),
        (lambda: od.sinkhorn(a, b, cost, 0.0), "reg"),
        (lambda: od.sinkhorn(a, b, cost, 0.1, -1.0), "reg_m"),
    ):
        with pytest.raises(ValueError, match=what):
            call()
    with pytest.raises(od.errors.ShapeError):
        od.sinkhorn(b, a, cost, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        od.sinkhorn(a, 2 * b, cost, 0.1, 1.0)
