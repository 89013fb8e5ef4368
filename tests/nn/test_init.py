import math

import numpy as np
import pytest

from odyssey.errors import ShapeError
from odyssey.nn import Parameter, init


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
