"""Writing into Tensors: what the history tells afterwards, and what is refused."""

import gc

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError
from odyssey.tensor import changes
from odyssey.testing import gradcheck

F = od.nn.functional


def leaf(values, dtype=np.float64):
    return od.Tensor(np.array(values, dtype), requires_grad=True)


def plus(y, v):
    y += v


def minus(y, v):
    y -= v


def times(y, v):
    y *= v


def over(y, v):
    y /= v


def copied(y, v):
    y.copy_(v)


def element(y, v):
    y[0] = v


def strided(y, v):
    y[:, 1::2] = v[..., :1]


def element_plus(y, v):
    y[1] += v


def element_times(y, v):
    y[:, 1:3] *= v[..., 1:3]


def through_a_view(y, v):
    y[0][1:] /= v[..., 1:] if v.ndim == 1 else v[0, 1:]


def by_numbers(y, v):
    y[[1, 0], [2, 3]] = v[..., 0] if v.ndim == 1 else v[0, :2]


def by_mask(y, v):
    y[np.array([[True, False, False, True], [False] * 4])] = v[..., 2] if v.ndim == 1 else v[0, :2]


def transposed(y, v):
    t = y.T
    t *= v.T if v.ndim == 2 else v.reshape(-1, 1)


def reshaped(y, v):
    flat = y.reshape(-1)
    flat[2:4] = v[..., :2] if v.ndim == 1 else v[0, :2]


WRITES = [
    plus, minus, times, over, copied, element, strided, element_plus, element_times, through_a_view, by_numbers,
    by_mask, transposed, reshaped,
]  # fmt: skip


@pytest.mark.parametrize("shape", [(4,), (2, 4)], ids=str)
@pytest.mark.parametrize("write", WRITES)
def test_a_write_has_its_gradient(write, shape):
    if shape == (2, 4) and write in (element, element_plus):
        shape = (4,)

    def f(x, v):
        y = x * 1.0
        write(y, v)
        return y * y

    def draw(rng):
        return [leaf(rng.uniform(0.5, 2, (2, 4))), leaf(rng.uniform(0.5, 2, shape))]

    gradcheck(f, draw, points=2)
    given = draw(np.random.default_rng(0))
    y = f(*given)
    expected = given[0].data.copy()
    with od.no_grad():
        write(od.Tensor(expected), given[1].detach())
    np.testing.assert_allclose(y.data, expected * expected)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_into_a_constant_carries_the_values_gradient(write):
    def f(v):
        y = od.Tensor(np.full((2, 4), 3.0))
        write(y, v)
        return y * y

    gradcheck(f, lambda rng: [leaf(rng.uniform(0.5, 2, 4))], points=1)


def test_numbers_and_arrays_are_written_without_a_tape():
    y = od.Tensor([1.0, 2.0])
    same = y
    y += 1
    y *= np.float32([2, 3])
    y -= 1.0
    y /= 2
    assert y is same
    assert y.data.tolist() == [1.5, 4.0]
    assert not y.requires_grad
    assert y.fill_(7.0).zero_().data.tolist() == [0.0, 0.0]
    counts = od.Tensor([1, 2])
    counts[0] = 5
    assert counts.data.tolist() == [5, 2]


def test_an_operand_may_lie_where_it_is_written():
    y = od.Tensor(np.arange(4.0))
    y += y[::-1]
    assert y.data.tolist() == [3.0] * 4
    gradcheck(lambda x: F.multiply_(*[x * 1.0] * 2), [leaf([1.0, 2.0])])


def test_a_leaf_is_written_only_without_recording():
    x = leaf([1.0, 2.0])
    for write in (plus, times, element):
        with pytest.raises(RuntimeError, match=r"found one made with requires_grad=True.*\n.*no_grad"):
            write(x, 2.0)
    with pytest.raises(RuntimeError, match="a view of one made"):
        x[0:1] += 1.0
    with od.no_grad():
        x += 1.0
        x[0] = 5.0
    assert x.data.tolist() == [5.0, 3.0]
    assert x.requires_grad


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("multiply", lambda x: x * x),
        ("exp", F.exp),
        ("relu", F.relu),
        ("softmax", F.softmax),
        ("matmul", lambda x: F.matmul(x, np.eye(2))),
    ],
)
def test_a_value_that_a_backward_needs_is_missed(name, f):
    x = leaf([1.0, 2.0])
    z = x * 1.0
    w = z if name in ("multiply", "matmul") else f(z)
    y = (f(z) if w is z else w) * 1.0
    if name == "matmul":
        y = F.matmul(z, leaf(np.eye(2)))
    w += 1.0
    with pytest.raises(RuntimeError, match=f"values that {name} was computed with, found them overwritten"):
        y.sum().backward()


def test_a_value_that_no_backward_needs_is_not_missed():
    x = leaf([1.0, 2.0])
    y = x + 1.0
    y += 1.0
    y *= 2.0
    z = y * 3.0
    y += 5.0
    (z + y).sum().backward()
    assert x.grad.tolist() == [8.0, 8.0]


def test_a_write_before_the_operation_is_not_missed():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    y += 1.0
    (y * y).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]


def test_the_neighbouring_column_is_not_missed():
    cache = od.Tensor(np.ones((4, 2)))
    w = leaf(np.ones(4))
    y = (w * cache[:, 0]).sum()
    cache[:, 1] = 5.0
    y.backward()
    assert w.grad.tolist() == [1.0] * 4


def test_writes_to_shared_memory_are_seen():
    for shared in (lambda z: z.detach(), lambda z: od.Tensor(np.asarray(memoryview(z))), lambda z: z.reshape(1, 2)[0]):
        x = leaf([1.0, 2.0])
        z = x * 1.0
        y = z * z
        with od.no_grad():
            shared(z)[1:].fill_(0.0)
        with pytest.raises(RuntimeError, match="overwritten"):
            y.sum().backward()


def test_writes_to_memory_of_another_library_are_seen_and_the_latest_remembered():
    memory = bytearray(8 * 1000)
    w = leaf(np.ones(1000))
    y = (w * od.Tensor(np.frombuffer(memory))).sum()
    for i in range(changes.MOST_PLACES + 10):
        od.Tensor(np.frombuffer(memory))[i] = 1.0
    assert len(changes._written[id(changes._ELSEWHERE)][1]) == changes.MOST_PLACES
    with pytest.raises(RuntimeError, match="overwritten"):
        y.backward()


def test_writes_to_saved_arrays_of_grad_are_seen():
    x = leaf([1.0, 2.0])
    z = x * 1.0
    y = (z * z).sum()
    z += 1.0
    with pytest.raises(RuntimeError, match="overwritten"):
        od.grad(y, x)


def test_a_tape_from_before_an_optimizers_step_is_not_walked_after_it():
    w = leaf([1.0, 2.0])
    optimizer = od.optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="overwritten"):
        loss.backward()
    (w * w).sum().backward()


def test_options_that_are_saved_by_name_are_looked_at():
    weight = od.Tensor(np.ones(3))
    x = leaf(np.ones((2, 3)))
    loss = F.cross_entropy(x, np.array([0, 1]), weight=weight)
    weight += 1.0
    with pytest.raises(RuntimeError, match="cross_entropy"):
        loss.backward()


def test_many_writes_to_one_array_are_remembered_as_one():
    x = od.Tensor(np.ones(2 * changes.MOST_PLACES))
    w = leaf(np.ones(2 * changes.MOST_PLACES))
    y = (w * x).sum()
    for i in range(changes.MOST_PLACES + 1):
        x[i] = 2.0
    with pytest.raises(RuntimeError, match="overwritten"):
        y.backward()


def test_what_is_remembered_ends_with_the_array():
    gc.collect()
    before = len(changes._written)
    for _ in range(10):
        od.Tensor(np.ones(3)).fill_(2.0)
    assert len(changes._written) <= before


def test_places_too_entangled_to_tell_apart_count_as_one(monkeypatch):
    def hard(*args, **kwargs):
        raise np.exceptions.TooHardError

    x = od.Tensor(np.ones(4))
    y = (leaf(np.ones(4)) * x).sum()
    x[0] = 1.0
    monkeypatch.setattr(np, "shares_memory", hard)
    with pytest.raises(RuntimeError, match="overwritten"):
        y.backward()


def test_views_follow_their_base():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1.0
    head, backwards, column = y[:2], y[::-1], y.reshape(3, 1)
    twice = F.broadcast_to(column, (3, 2))
    y *= 2.0
    for view, expected in ((head, [2, 2, 0]), (backwards, [2, 2, 2]), (column, [2, 2, 2]), (twice, [4, 4, 4])):
        assert view.requires_grad
        (by_x,) = od.grad(view, x, np.ones(view.shape), retain_graph=True)
        assert by_x.data.tolist() == expected


def test_a_view_of_a_constant_learns_of_the_gradient():
    y, w = od.Tensor(np.zeros(3)), leaf([1.0, 2.0])
    tail = y[1:]
    assert not tail.requires_grad
    y[1:] = w * w
    assert tail.requires_grad
    tail.sum().backward()
    assert w.grad.tolist() == [2.0, 4.0]


def test_views_taken_without_recording_hold_no_history():
    y = leaf([1.0, 2.0]) * 1.0
    with od.no_grad():
        view = y[:1]
    assert view.base is None
    assert not view.requires_grad


def test_a_copy_is_no_view():
    y = leaf([[1.0, 2.0], [3.0, 4.0]]) * 1.0
    for copy in (y[[0, 1]], y.T.reshape(4), y.clone(), y[y.data > 1], y[0, 0]):
        assert copy.base is None
    assert y[0].base is y
    assert y[0][1:].base is y


def test_views_of_strided_arrays_are_told_apart_by_bytes():
    memory = np.arange(24.0).reshape(4, 6)
    w = leaf([1.0, 2.0])
    y = od.Tensor(memory[::-1, ::2])
    y[1:3, 1] *= w
    (y * y).sum().backward()
    np.testing.assert_allclose(w.grad, 2 * w.data * np.array([14.0, 8.0]) ** 2)


def test_elements_that_are_set_twice_have_the_last_ones_gradient():
    w = leaf([1.0, 2.0, 3.0])
    y = od.Tensor(np.zeros(2))
    y[[0, 1, 0]] = w
    assert y.data.tolist() == [3.0, 2.0]
    y.sum().backward()
    assert w.grad.tolist() == [0.0, 1.0, 1.0]


def test_a_value_with_more_axes_than_its_place():
    w = leaf([[1.0, 2.0]])
    y = od.Tensor(np.zeros((3, 2)))
    y[0] = w
    (y * y).sum().backward()
    assert w.grad.tolist() == [[2.0, 4.0]]


def test_what_cannot_be_written_is_an_error():
    y = od.Tensor([1.0, 2.0])
    with pytest.raises(ShapeError):
        y += od.Tensor([[1.0], [2.0]])
    with pytest.raises(DTypeError):
        y += np.ones(2)
    with pytest.raises(TypeError, match="expected a Tensor to write to, found ndarray"):
        F.add_(np.ones(2), 1.0)
    with pytest.raises(ValueError, match="read-only"):
        od.Tensor(np.ones(1)).broadcast_to((3,))[0] = 1.0
    assert y.data.tolist() == [1.0, 2.0]


def test_data_set_anew_ends_a_view():
    y = od.Tensor(np.zeros(3))
    view = y[1:]
    view.data = np.ones(2)
    y += 1.0
    assert view.base is None
    assert view.data.tolist() == [1.0, 1.0]
