"""Gradients cross between odyssey and torch, over the same memory."""

import numpy as np
import pytest

import odyssey as od

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from odyssey.errors import DeviceError, DTypeError
from odyssey.interop.torch import as_function, as_module, from_torch
from odyssey.testing import gradcheck

F = od.nn.functional


def drawn(*shape, grad=True):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)), requires_grad=grad)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (F.silu, [(3, 4)]),
        (F.softmax, [(3, 4)]),
        (F.matmul, [(2, 3, 4), (4, 2)]),
        (F.layer_norm, [(3, 4), (4,), (4,)]),
        (F.scaled_dot_product_attention, [(2, 3, 4), (2, 3, 4), (2, 3, 4)]),
        (lambda x, w: F.conv2d(x, w, padding=1), [(2, 2, 4, 4), (3, 2, 3, 3)]),
        (lambda x: x[1:].reshape(-1), [(3, 4)]),
        (lambda x: F.split(x * x, 2), [(4, 2)]),
        (F.poincare_distance, None),
    ],
)
def test_torch_checks_our_gradients(f, shapes):
    inputs = [drawn(*shape) for shape in shapes] if shapes else [(drawn(3, 2) * 0.2).detach().requires_grad_() for _ in "xy"]
    if not shapes:
        inputs[1] = (inputs[1] * -0.5).detach().requires_grad_()
    assert torch.autograd.gradcheck(as_function(f), inputs)


def test_inputs_without_a_gradient_and_other_values_pass_through():
    x = drawn(2, 3)
    labels = torch.tensor([0, 2])
    loss = as_function(F.cross_entropy)(x, labels, "sum", label_smoothing=0.1)
    loss.backward()
    y = x.detach().requires_grad_()
    torch.nn.functional.cross_entropy(y, labels, reduction="sum", label_smoothing=0.1).backward()
    torch.testing.assert_close(x.grad, y.grad)
    named = as_function(F.matmul)(a=drawn(2, 2), b=drawn(2, 2, grad=False))
    assert named.requires_grad
    assert not as_function(F.silu)(drawn(2, grad=False)).requires_grad
    with torch.no_grad():
        assert not as_function(F.silu)(x).requires_grad


def test_memory_is_shared_on_the_way_in_and_out():
    seen = []

    def f(x):
        seen.append(x)
        seen.append(x * 2.0)
        return seen[-1]

    x = drawn(5)
    y = as_function(f)(x)
    assert x.data_ptr() == seen[0].data.ctypes.data
    assert y.data_ptr() == seen[1].data.ctypes.data


def test_what_torch_cannot_take_is_copied():
    x = drawn(3)
    backwards = as_function(lambda x: x[::-1])(x)
    assert backwards.tolist() == x.tolist()[::-1]
    assert as_function(lambda x: F.broadcast_to(x, (2, 3)))(x).shape == (2, 3)


def test_names_and_outputs_without_a_gradient():
    both = as_function(lambda x: (x * 2.0, od.Tensor(np.array([1, 2]))))
    doubled, constant = both(drawn(2))
    assert doubled.requires_grad
    assert not constant.requires_grad
    assert as_function(F.silu).__name__ == "silu"
    assert as_function(od.nn.ReLU()).__name__ == "ReLU"


def test_torch_sees_what_is_overwritten_and_what_is_walked_twice():
    x = drawn(3)
    z = x * 1.0
    y = as_function(F.silu)(z)
    z.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = as_function(F.silu)(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_tensors_that_cannot_cross_are_named():
    with pytest.raises(DTypeError, match=r"found torch\.bfloat16"):
        as_function(F.silu)(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(DeviceError, match="found one on meta"):
        as_function(F.silu)(torch.ones(2, device="meta"))


def model():
    return od.nn.Sequential(od.nn.Linear(3, 4), od.nn.BatchNorm1d(4), od.nn.Tanh(), od.nn.Linear(4, 2))


def test_a_layer_becomes_a_module_with_the_same_names_and_memory():
    layer = model()
    module = as_module(layer)
    assert list(dict(module.named_parameters())) == [name for name, _ in layer.named_parameters()]
    assert set(module.state_dict()) == set(layer.state_dict())
    for name, array in layer.state_dict().items():
        assert module.state_dict()[name].data_ptr() == array.ctypes.data
    module.eval()
    assert not layer.training
    assert "Linear(3, 4" in repr(module) or "Linear" in repr(module)


def test_a_module_trains_in_torch():
    layer = model()
    module = as_module(layer)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = layer.state_dict()["0.weight"].copy()
    x, target = torch.randn(8, 3), torch.randn(8, 2)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(module(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not np.array_equal(before, layer.state_dict()["0.weight"])
    assert all(p.grad is None for p in layer.parameters())  # the gradients are torch's
    assert layer.state_dict()["1.running_mean"].any()


def test_a_modules_gradients_pass_torchs_check():
    module = as_module(model()).double()  # torch puts memory of its own in the place of ours
    x = drawn(4, 3)
    names = [name for name, _ in module.named_parameters()]

    def f(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), x)

    assert torch.autograd.gradcheck(f, [x, *module.parameters()])


def test_a_parameter_that_torch_froze_gets_no_gradient():
    module = as_module(od.nn.Linear(2, 2))
    module.weight.requires_grad_(False)
    module(torch.ones(1, 2)).sum().backward()
    assert module.weight.grad is None
    assert module.bias.grad.tolist() == [1.0, 1.0]


def draw(*shapes):
    return lambda rng: [od.Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(
    ("fn", "shapes"),
    [
        (torch.special.i0, [(3, 2)]),
        (lambda x, y: torch.cdist(x, y), [(3, 2), (4, 2)]),
        (torch.nn.Linear(3, 2, dtype=torch.float64), [(4, 3)]),
        (lambda x: torch.linalg.qr(x)[0] * 2, [(3, 3)]),
    ],
)
def test_our_check_passes_torchs_functions(fn, shapes):
    gradcheck(from_torch(fn), draw(*shapes), rtol=1e-5, atol=1e-7)


def test_torchs_functions_stand_between_ours():
    f = from_torch(torch.special.i0)
    gradcheck(lambda x: F.softmax(f(F.tanh(x)) * 2.0), draw((2, 3)))


def test_functions_of_several_results():
    f = from_torch(lambda x: (x * x, x.exp()))
    gradcheck(lambda x: F.multiply(*f(x)), draw((3,)))


def test_parameters_of_torch_get_their_gradients_in_torch():
    linear = torch.nn.Linear(3, 2)
    f = from_torch(linear)
    x = np.ones((4, 3), np.float32)
    f(x).sum().backward()
    assert linear.bias.grad.tolist() == [4.0, 4.0]
    f(od.Tensor(x, requires_grad=True)).sum().backward()
    assert linear.bias.grad.tolist() == [8.0, 8.0]


def test_torchs_memory_is_ours():
    seen = []

    def fn(x):
        seen.append(x)
        seen.append(x * 2)
        return seen[-1]

    x = od.Tensor([1.0, 2.0])
    y = from_torch(fn)(x)
    assert seen[0].data_ptr() == x.data.ctypes.data
    assert seen[1].data_ptr() == y.data.ctypes.data
    assert not y.requires_grad
    with od.no_grad():
        assert not from_torch(fn)(od.Tensor([1.0], requires_grad=True)).requires_grad


def test_other_values_and_unused_inputs():
    f = from_torch(lambda x, y, factor, power=1: (x * factor) ** power)
    x, y = draw((3,), (3,))(np.random.default_rng(0))
    f(x, y, 2.0, power=2).sum().backward()
    np.testing.assert_allclose(x.grad, 8 * x.data)
    assert y.grad is None


def test_a_write_of_ours_to_what_torch_saved_is_seen():
    x = od.Tensor([1.0, 2.0], requires_grad=True)
    z = x * 1.0
    y = from_torch(torch.exp)(z).sum()
    z += 1.0
    with pytest.raises(RuntimeError, match="torch was computed with, found them overwritten"):
        y.backward()


def test_the_module_is_found_by_its_name():
    assert od.interop.torch.as_function is as_function
