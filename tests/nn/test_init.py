import hashlib
import math

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import ShapeError
from odyssey.nn import Parameter, init

DIGESTS = ["0749561fabf1a513", "2d8947fbb4339585", "b16be776a40c74fa", "424dafceb31a3d8e"]


def test_fans_are_pytorchs():
    assert init.fans(np.empty((120, 400))) == (400, 120)
    assert init.fans(np.empty((16, 6, 5, 5))) == (150, 400)
    with pytest.raises(ShapeError, match="a bias has no fans"):
        init.fans(np.empty(3))


# PyTorch 2.x: torch.nn.init.calculate_gain.
@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / (1 + 0.01**2))),
        ("leaky_relu", 0.2, math.sqrt(2 / (1 + 0.2**2))),
        ("selu", None, 0.75),
    ],
)
def test_gains_are_pytorchs(name, param, gain):
    assert init.calculate_gain(name, param) == gain


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda w, g: init.xavier_uniform_(w, generator=g), math.sqrt(6 / (300 + 500))),
        (lambda w, g: init.xavier_uniform_(w, 2.0, generator=g), 2 * math.sqrt(6 / (300 + 500))),
        (lambda w, g: init.kaiming_uniform_(w, nonlinearity="relu", generator=g), math.sqrt(6 / 300)),
        (lambda w, g: init.kaiming_uniform_(w, a=math.sqrt(5), generator=g), 1 / math.sqrt(300)),
        (lambda w, g: init.kaiming_uniform_(w, mode="fan_out", generator=g), math.sqrt(6 / 500)),
        (lambda w, g: init.uniform_(w, -3.0, 3.0, generator=g), 3.0),
    ],
)
def test_uniform_bounds(fill, bound):
    w = Parameter(np.empty((500, 300), np.float32))
    assert fill(w, np.random.default_rng(0)) is w
    assert np.abs(w.data).max() <= np.float32(bound)
    assert np.abs(w.data).max() > 0.999 * bound
    assert abs(w.data.mean()) < 0.01 * bound


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda w, g: init.xavier_normal_(w, generator=g), math.sqrt(2 / (300 + 500))),
        (lambda w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g), math.sqrt(2 / 300)),
        (lambda w, g: init.normal_(w, 0.0, 3.0, generator=g), 3.0),
    ],
)
def test_normal_deviations(fill, std):
    w = np.empty((500, 300))
    assert fill(w, np.random.default_rng(0)) is w
    assert w.std() == pytest.approx(std, rel=0.01)


def test_constants():
    assert init.ones_(np.empty(2)).tolist() == [1, 1]
    assert init.zeros_(np.empty(2)).tolist() == [0, 0]
    assert init.constant_(np.empty(2), 3).tolist() == [3, 3]


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="expected one of linear"):
        init.calculate_gain("softsign")
    with pytest.raises(ValueError, match="expected mode"):
        init.kaiming_normal_(np.empty((2, 2)), mode="both", generator=np.random.default_rng(0))


def test_fans_of_groups_and_of_transposed_convolutions_count_what_meets():
    """One for each element that enters one, and that one enters, as a convolution of ones counts them inside the image."""
    from odyssey.nn import functional as F

    for groups in (1, 2):
        weight = np.ones((6, 4 // groups, 3, 3), np.float32)
        fan_in, fan_out = init.fans(weight, groups)
        assert F.conv2d(np.ones((1, 4, 7, 7), np.float32), weight, groups=groups).data.max() == fan_in
        x = Parameter(np.ones((1, 4, 7, 7), np.float32))
        F.conv2d(x, weight, groups=groups).sum().backward()
        assert x.grad.max() == fan_out
        weight = np.ones((4, 6 // groups, 3, 3), np.float32)
        fan_in, fan_out = init.fans(weight, groups, transposed=True)
        x = Parameter(np.ones((1, 4, 7, 7), np.float32))
        y = F.conv_transpose2d(x, weight, groups=groups)
        assert y.data.max() == fan_in
        y.sum().backward()
        assert x.grad.max() == fan_out
    with pytest.raises(ShapeError, match="divisible by groups"):
        init.fans(np.ones((5, 2)), 2)


def test_fans_are_pytorchs_for_every_layer():
    torch = pytest.importorskip("torch")
    for shape in ((7, 5), (6, 2, 3, 3), (6, 1, 5, 3), (4, 8, 2, 2)):
        assert init.fans(np.empty(shape)) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_grouped_and_transposed_fans_reach_the_bounds():
    w = np.empty((64, 8, 3, 3))
    rng = np.random.default_rng(0)
    bound = math.sqrt(6 / (72 + 144))
    assert bound * 0.99 < np.abs(init.xavier_uniform_(w, groups=4, generator=rng)).max() <= bound
    bound = math.sqrt(6 / 144)
    found = init.kaiming_uniform_(w, nonlinearity="relu", groups=4, transposed=True, generator=rng)
    assert bound * 0.99 < np.abs(found).max() <= bound
    assert init.xavier_normal_(w, groups=4, generator=rng).std() == pytest.approx(math.sqrt(2 / 216), rel=0.03)
    std = math.sqrt(2 / 72)
    assert init.kaiming_normal_(w, nonlinearity="relu", groups=4, generator=rng).std() == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("shape", [(40, 100), (100, 40), (64, 64), (8, 3, 3, 3), (1, 5), (5, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_orthogonal_rows_or_columns_of_length_gain(shape, dtype):
    w = init.orthogonal_(np.empty(shape, dtype), 3.0, generator=np.random.default_rng(0)).reshape(shape[0], -1) / 3
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6 if dtype == np.float32 else 1e-14)


def test_orthogonal_matrices_are_drawn_from_all_alike():
    """Rotations and reflections, every angle: the first row of many 2x2 ones goes round the circle evenly."""
    rng = np.random.default_rng(0)
    drawn = np.array([init.orthogonal_(np.empty((2, 2)), generator=rng) for _ in range(2000)])
    angles = np.arctan2(drawn[:, 0, 1], drawn[:, 0, 0])
    counts, _ = np.histogram(angles, 8, (-np.pi, np.pi))
    assert counts.min() > 190
    assert 800 < (np.linalg.det(drawn) > 0).sum() < 1200


def test_orthogonal_takes_empty_arrays_and_refuses_a_bias():
    assert init.orthogonal_(np.empty((0, 3)), generator=np.random.default_rng(0)).shape == (0, 3)
    with pytest.raises(ShapeError, match="at least two axes"):
        init.orthogonal_(np.empty(3), generator=np.random.default_rng(0))


def test_normal_numbers_are_normal():
    """Moments and tails, by their known errors at this count."""
    x = init.normal_(np.empty(200_001), generator=np.random.default_rng(0))
    assert abs(x.mean()) < 0.01
    assert abs((x**3).mean()) < 0.03
    assert (x**4).mean() == pytest.approx(3, abs=0.07)
    assert (np.abs(x) > 3).mean() == pytest.approx(0.0027, abs=0.0005)
    assert abs((x[:-1] * x[1:]).mean()) < 0.01
    half = len(x) // 2
    assert abs((x[:half] * x[half + 1 :]).mean()) < 0.01  # the two that come of one pair


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("isa", od.isa.available())
def test_the_same_bits_on_every_machine(isa):
    """Digests as they came first: uniform, normal and orthogonal numbers of a seed are fixed for good."""
    rng = np.random.default_rng(7)
    with od.isa.use(isa):
        found = [
            digest(init.uniform_(np.empty((3, 50)), -0.3, 0.7, generator=rng)),
            digest(init.normal_(np.empty((3, 51)), 0.1, 2.0, generator=rng)),
            digest(init.kaiming_normal_(np.empty((8, 4, 3, 3), np.float32), generator=rng)),
            digest(init.orthogonal_(np.empty((70, 80)), generator=rng)),
        ]
    assert found == DIGESTS
