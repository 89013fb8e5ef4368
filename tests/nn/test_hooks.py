"""Hooks: when they are called, with what, what they may change, and that they go away."""

import copy
import pickle

import numpy as np
import pytest

import odyssey as od
from odyssey import nn


class Two(nn.Module):
    """Two arguments, two results."""

    def forward(self, a, b, factor=1.0):
        return a * b * factor, a + b


def leaf(*numbers):
    return od.Tensor(np.float32(numbers), requires_grad=True)


def test_forward_hooks_are_called_in_order_and_may_change_both_ends():
    told = []
    layer = nn.ReLU()
    layer.register_forward_pre_hook(lambda module, args: told.append(("before", module, args[0].data.tolist())))
    layer.register_forward_pre_hook(lambda module, args: args[0] * 2.0)
    layer.register_forward_pre_hook(lambda module, args: (args[0] + 1.0,))
    layer.register_forward_hook(lambda module, args, y: told.append(("after", module, args[0].data.tolist(), y.data.tolist())))
    layer.register_forward_hook(lambda module, args, y: y * 10.0)
    y = layer(od.Tensor([-2.0, 3.0]))
    assert y.data.tolist() == [0.0, 70.0]
    assert told == [("before", layer, [-2.0, 3.0]), ("after", layer, [-3.0, 7.0], [0.0, 7.0])]


def test_a_removed_hook_is_called_no_more_and_others_stay():
    layer, counts = nn.Tanh(), [0, 0]

    def count(i):
        def hook(module, args, output):
            counts[i] += 1

        return hook

    handles = [layer.register_forward_hook(count(i)) for i in range(2)]
    layer(od.Tensor([1.0]))
    handles[0].remove()
    handles[0].remove()
    layer(od.Tensor([1.0]))
    assert counts == [1, 2]
    with layer.register_forward_hook(count(0)):
        layer(od.Tensor([1.0]))
    layer(od.Tensor([1.0]))
    assert counts == [2, 4]


def test_other_modules_of_the_class_and_of_its_subclasses_have_no_hooks():
    class Base(nn.Module):
        def forward(self, x):
            return x

    class Own(Base):
        def forward(self, x):
            return super().forward(x) + 1.0

    class Inherits(Base):
        pass

    one, told = Base(), []
    one.register_forward_hook(lambda module, args, y: told.append(module))
    plain, own, inherits = Base(), Own(), Inherits()
    for module in (one, plain, own, inherits):
        module(od.Tensor([1.0]))
    assert told == [one]
    inherits.register_forward_hook(lambda module, args, y: told.append(module))
    own.register_forward_hook(lambda module, args, y: told.append(module))
    for module in (plain, own, inherits):
        module(od.Tensor([1.0]))
    assert told == [one, own, inherits]


def test_copies_and_pickles_have_no_hooks_and_work():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda module, args, y: y * 0.0)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        y = other(np.ones((1, 2), np.float32))
        np.testing.assert_array_equal(y.data, layer.forward(np.ones((1, 2), np.float32)).data)
        assert y.data.any()


def test_hooks_are_no_members():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_backward_hooks_see_the_gradients_of_both_ends():
    seen = []
    module, a, b = Two(), leaf(1, 2), leaf(3, 5)
    module.register_full_backward_hook(lambda m, by_inputs, by_outputs: seen.append((m, by_inputs, by_outputs)))
    product, total = module(a, b)
    (product.sum() + total.sum() * 10.0).backward()
    ((which, by_inputs, by_outputs),) = seen
    assert which is module
    assert [g.tolist() for g in by_outputs] == [[1.0, 1.0], [10.0, 10.0]]
    assert [g.tolist() for g in by_inputs] == [[13.0, 15.0], [11.0, 12.0]]
    assert [a.grad.tolist(), b.grad.tolist()] == [[13.0, 15.0], [11.0, 12.0]]


def test_backward_hooks_tell_what_took_no_part():
    seen = []
    module, a = Two(), leaf(1, 2)
    module.register_full_backward_hook(lambda m, by_inputs, by_outputs: seen.append((by_inputs, by_outputs)))
    module(a, np.float32([3, 5]))[1].sum().backward()
    ((by_inputs, by_outputs),) = seen
    assert (by_inputs[0].tolist(), by_inputs[1]) == ([1.0, 1.0], None)
    assert (by_outputs[0], by_outputs[1].tolist()) == (None, [1.0, 1.0])


def test_backward_hooks_may_replace_the_gradients_of_the_arguments():
    module, a, b = Two(), leaf(1), leaf(3)
    handle = module.register_full_backward_hook(lambda m, by_inputs, by_outputs: (by_inputs[0] * 2, None))
    module(a, b)[0].backward()
    assert (a.grad.tolist(), b.grad) == ([6.0], None)
    handle.remove()
    module(a, b)[0].backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([9.0], [1.0])
    x, layer = leaf(0.0), nn.Tanh()
    layer.register_full_backward_hook(lambda m, by_inputs, by_outputs: by_inputs[0] * 5)
    layer(x).backward()
    assert x.grad.tolist() == [5.0]


def test_a_backward_hook_with_the_wrong_number_of_gradients_is_told():
    module, a, b = Two(), leaf(1), leaf(3)
    module.register_full_backward_hook(lambda m, by_inputs, by_outputs: by_inputs[:1])
    with pytest.raises(ValueError, match="backward hook of Two: expected 2 gradients, one for each argument, found 1"):
        module(a, b)[0].backward()


def test_a_backward_hook_of_the_first_layer_is_called_though_data_has_no_gradient():
    seen = []
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].register_full_backward_hook(lambda m, by_inputs, by_outputs: seen.append((by_inputs, by_outputs[0].shape)))
    model(np.ones((4, 2), np.float32)).sum().backward()
    assert seen == [((None,), (4, 3))]
    assert model[0].weight.grad is not None


def test_gradients_that_a_hook_keeps_are_not_written_over():
    """What lies behind the Module overwrites gradients that are its own."""
    kept = []
    x, layer = leaf(0.5, -1.0), nn.Tanh()
    layer.register_full_backward_hook(lambda m, by_inputs, by_outputs: kept.extend([*by_inputs, *by_outputs]))
    (layer(nn.functional.scale(nn.functional.scale(x, 2.0), 3.0)) * 7.0).sum().backward()
    slope = 1 - np.tanh(np.float32([3, -6])) ** 2
    np.testing.assert_allclose(kept[0], 7 * slope, rtol=1e-4)
    assert kept[1].tolist() == [7.0, 7.0]
    np.testing.assert_allclose(x.grad, 42 * slope, rtol=1e-4)


def test_nothing_is_watched_without_a_tape():
    told = []
    layer = nn.Tanh()
    layer.register_full_backward_hook(lambda *_: told.append(1))
    with od.no_grad():
        assert not layer(leaf(1)).requires_grad
    assert not layer(od.Tensor([1.0])).requires_grad
    assert told == []


def test_hooks_change_no_bit_of_the_gradients():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    model(x).sum().backward()
    expected = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    for module in model.modules():
        module.register_full_backward_hook(lambda *_: None)
    model(x).sum().backward()
    for p, grad in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad, grad)
