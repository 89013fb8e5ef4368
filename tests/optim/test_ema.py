"""The exponential moving average: its formula, PyTorch's, its state, and that the parameters come back."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError, ShapeError


def params(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [od.Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in ((3, 4), (5,))]


def walk(parameters, seed):
    rng = np.random.default_rng(seed)
    for p in parameters:
        p.data += rng.normal(size=p.shape).astype(p.dtype)


@pytest.mark.parametrize("warmup", [False, True])
def test_it_is_the_formula(warmup):
    ours = params()
    ema = od.optim.EMA(ours, 0.9, warmup)
    expected = [p.data.copy() for p in ours]
    for n in range(1, 100):
        walk(ours, n)
        ema.update()
        decay = min(0.9, (1 + n) / (10 + n)) if warmup else 0.9
        expected = [decay * e + (1 - decay) * p.data for e, p in zip(expected, ours, strict=True)]
    with ema.applied():
        for e, p in zip(expected, ours, strict=True):
            np.testing.assert_allclose(p.data, e, rtol=1e-12)


def test_it_is_pytorchs():
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    ours = params()
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(p.data)) for p in ours])
    ema, peer = od.optim.EMA(ours, 0.95), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    peer.update_parameters(model)  # the first one copies
    for n in range(20):
        walk(ours, n)
        with torch.no_grad():
            for p, other in zip(ours, model, strict=True):
                other.copy_(torch.tensor(p.data))
        ema.update()
        peer.update_parameters(model)
        with ema.applied():
            for p, other in zip(ours, peer.module, strict=True):
                np.testing.assert_allclose(p.data, other.detach().numpy(), rtol=1e-12)


def test_a_constant_is_its_own_average_for_ever():
    """In float32 rounded shares that do not add up to one would move it."""
    w = od.Tensor(np.float32([0.1, 3e7, -1e-30]), requires_grad=True)
    ema = od.optim.EMA([w], 0.9999)
    for _ in range(2000):
        ema.update()
    with ema.applied():
        assert w.data.tolist() == np.float32([0.1, 3e7, -1e-30]).tolist()


def test_the_parameters_come_back_bit_for_bit_also_after_an_error():
    ours = params(np.float32)
    ema = od.optim.EMA(ours, 0.5)
    walk(ours, 1)
    ema.update()
    before = [p.data for p in ours]
    copies = [p.data.copy() for p in ours]
    with ema.applied():
        assert not any(np.array_equal(p.data, copy) for p, copy in zip(ours, copies, strict=True))
    with pytest.raises(ZeroDivisionError), ema.applied():
        1 / 0  # noqa: B018
    assert all(p.data is array for p, array in zip(ours, before, strict=True))
    for p, copy in zip(ours, copies, strict=True):
        np.testing.assert_array_equal(p.data, copy)


def test_it_goes_on_from_its_state_to_the_same_bits():
    whole, cut = params(np.float32), params(np.float32)
    ema = od.optim.EMA(whole, 0.9, warmup=True)
    one = od.optim.EMA(cut, 0.9, warmup=True)
    for n in range(10):
        if n == 4:
            two = od.optim.EMA(cut, 0.9, warmup=True)
            two.load_state_dict({key: np.array(value) for key, value in one.state_dict().items()})
            one = two
        for parameters, average in ((whole, ema), (cut, one)):
            walk(parameters, n)
            average.update()
    assert one.updates == 10
    for key, value in ema.state_dict().items():
        np.testing.assert_array_equal(one.state_dict()[key], value)


def test_a_foreign_state_is_refused_and_changes_nothing():
    ema = od.optim.EMA(params())
    good = dict(ema.state_dict())
    for state, error, message in (
        ({}, FormatError, "averages of 2 parameters, found none"),
        ({**good, "2": good["0"]}, FormatError, "found 4 entries"),
        ({**good, "updates": 3, "1": np.ones(4)}, ShapeError, r"average 1 \(5,\), found \(4,\)"),
    ):
        with pytest.raises(error, match=message):
            ema.load_state_dict(state)
    assert ema.updates == 0
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="decay in"):
            od.optim.EMA(params(), decay)
