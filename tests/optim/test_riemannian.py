"""Optimizers on the ball: they stay inside, find means, keep lengths of what they carry, and resume to the same bits."""

import numpy as np
import pytest

import odyssey as od

F = od.nn.functional
OPTIMIZERS = {
    "sgd": lambda p, **o: od.optim.RiemannianSGD(p, lr=0.02, **o),
    "momentum": lambda p, **o: od.optim.RiemannianSGD(p, lr=0.005, momentum=0.8, **o),
    "adam": lambda p, **o: od.optim.RiemannianAdam(p, lr=0.1, betas=(0.9, 0.9), **o),
}


def cloud(n, c=1.0, dtype=np.float64):
    x = np.random.default_rng(0).standard_normal((n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True) * np.linspace(0.2, 0.9, n)[:, None] / np.sqrt(c)).astype(dtype)


@pytest.mark.parametrize("c", [0.5, 1.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_mean_of_points_is_found(name, c):
    points = cloud(12, c)
    x = od.Tensor(cloud(12, c)[-1:] * 0.99, requires_grad=True)
    opt = OPTIMIZERS[name]([x], c=c)
    for _ in range(600):
        opt.zero_grad()
        d = F.pairwise_distance(x, points, "poincare", c)
        (d * d).sum().backward()
        opt.step()
        if name == "adam":
            opt.lr *= 0.99
    # At the mean the tangents to all points cancel.
    tangents = od.log_map(x.data[0], points, c)
    assert np.linalg.norm(tangents.sum(0)) < 1e-3 * np.linalg.norm(tangents, axis=1).sum()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_points_stay_inside(name):
    x = od.Tensor(cloud(20, dtype=np.float32), requires_grad=True)
    opt = OPTIMIZERS[name]([x])
    opt.lr = 0.1 if name == "momentum" else 3.0  # carried momentum grows with every bounce
    for _ in range(30):
        opt.zero_grad()
        F.scale(F.pairwise_distance(x, None, "poincare"), -1.0).sum().backward()  # as far apart as can be
        opt.step()
    assert np.isfinite(x.data).all()
    assert np.linalg.norm(x.data.astype(np.float64), axis=1).max() < 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_state_goes_on_to_the_same_bits(name):
    def run(steps, x, opt):
        for _ in range(steps):
            opt.zero_grad()
            F.poincare_distance(x, np.zeros(3)).sum().backward()
            opt.step()

    x = od.Tensor(cloud(5), requires_grad=True)
    opt = OPTIMIZERS[name]([x])
    run(3, x, opt)
    copy = od.Tensor(x.data.copy(), requires_grad=True)
    other = OPTIMIZERS[name]([copy])
    other.load_state_dict(opt.state_dict())
    run(3, x, opt)
    run(3, copy, other)
    np.testing.assert_array_equal(copy.data, x.data)


def test_momentum_keeps_its_length():
    x, y = cloud(8), cloud(8)[::-1].copy()
    v = np.random.default_rng(2).standard_normal((8, 3))
    carried = od.parallel_transport(x, y, v)
    for p, t, q, u in zip(x, v, y, carried, strict=True):
        assert np.linalg.norm(t) / (1 - p @ p) == pytest.approx(np.linalg.norm(u) / (1 - q @ q))
    np.testing.assert_allclose(od.parallel_transport(y, x, carried), v)


def test_wrong_arguments_are_explained():
    x = od.Tensor(cloud(3), requires_grad=True)
    with pytest.raises(ValueError, match="curvature being -c"):
        od.optim.RiemannianSGD([x], c=0)
    with pytest.raises(ValueError, match="betas"):
        od.optim.RiemannianAdam([x], betas=(1.0, 0.9))
