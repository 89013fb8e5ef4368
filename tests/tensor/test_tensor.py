import copy
import pickle

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError


def leaf(values, dtype=np.float32):
    return od.Tensor(np.asarray(values, dtype), requires_grad=True)


def test_an_array_is_kept_and_not_copied():
    array = np.arange(3, dtype=np.float64)
    tensor = od.Tensor(array)
    assert tensor.data is array
    assert tensor.numpy() is array
    assert np.shares_memory(np.asarray(tensor), array)
    assert tensor.detach().data is array


def test_python_floats_become_float32_and_numpy_types_stay():
    assert od.Tensor([1.0, 2.0]).dtype == np.float32
    assert od.Tensor(1.0).dtype == np.float32
    assert od.Tensor(np.float64(1.0)).dtype == np.float64
    assert od.Tensor([1, 2]).dtype == np.int64
    assert od.Tensor([1, 2], dtype=np.float64).dtype == np.float64


def test_array_protocol_converts_and_copies_when_asked():
    tensor = od.Tensor([1.0, 2.0])
    assert np.asarray(tensor, dtype=np.float64).dtype == np.float64
    assert np.array(tensor, copy=True) is not tensor.data
    assert tensor.__array__() is tensor.data
    assert tensor.__array__(np.float64).dtype == np.float64
    assert tensor.__array__(copy=True) is not tensor.data
    with pytest.raises(ValueError, match="expected no copy"):
        tensor.__array__(np.float64, copy=False)


def test_shape_attributes():
    tensor = od.Tensor(np.zeros((2, 3), np.float32))
    assert (tensor.shape, tensor.ndim, tensor.size, len(tensor), tensor.T.shape) == ((2, 3), 2, 6, 2, (3, 2))
    assert od.Tensor(2.5).item() == float(od.Tensor(2.5)) == 2.5
    assert int(od.Tensor(2.5)) == 2
    assert bool(od.Tensor(0.0)) is False


def test_repr_tells_values_type_and_history():
    assert repr(od.Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(leaf([1.0], np.float64)) == "Tensor([1.], dtype=float64, requires_grad=True)"
    assert repr(leaf([1.0]) * 2.0) == "Tensor([2.], made by multiply)"


def test_repr_of_a_large_tensor_tells_its_shape():
    assert repr(od.Tensor(np.zeros((20, 10), np.float32))).endswith("[0., 0., 0., ..., 0., 0., 0.]], shape=(20, 10))")
    assert repr(od.nn.Parameter(np.ones(1))) == "Parameter([1.], dtype=float64, requires_grad=True)"


def test_integers_cannot_want_a_gradient():
    with pytest.raises(DTypeError, match="expected float32 or float64, found int64"):
        od.Tensor([1, 2], requires_grad=True)


def test_comparisons_look_at_the_data_and_identity_hashes():
    a = od.Tensor([1.0, 2.0])
    assert (a == od.Tensor([1.0, 3.0])).tolist() == [True, False]
    assert (a < 2).tolist() == [True, False]
    assert len({a, a, od.Tensor([1.0, 2.0])}) == 2


@pytest.mark.parametrize("other", [2.0, 2, np.float32(2), np.float64(2)])
def test_numbers_take_the_tensors_dtype(other):
    x = leaf([1.0, 2.0])
    for result in (x + other, other + x, x - other, other - x, x * other, other * x, x / other, other / x, x**other):
        assert isinstance(result, od.Tensor)
        assert result.dtype == np.float32


def test_an_array_on_the_left_does_not_swallow_the_tensor():
    x = leaf([1.0, 2.0])
    y = np.array([3.0, 4.0], np.float32) * x
    assert isinstance(y, od.Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    with pytest.raises(TypeError):
        np.exp(x)  # NumPy would lose the gradient


def test_gradients_of_operators_with_broadcasting():
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([10.0, 20.0])
    ((a * b + b - a / b) * 2.0).sum().backward()
    assert a.grad.tolist() == [[np.float32(2 * (v - np.float32(1 / v))) for v in (10.0, 20.0)]] * 2
    expected = [2 * (1 + 3 + 2 + (1 + 3) / 100), 2 * (2 + 4 + 2 + (2 + 4) / 400)]
    np.testing.assert_allclose(b.grad, expected, rtol=1e-6)


def test_gradients_add_up_over_uses_and_over_backwards():
    x = leaf([3.0])
    (x * x * x).sum().backward()
    assert x.grad.tolist() == [27.0]
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == [29.0]


def test_a_square_by_matmul_uses_its_operand_twice():
    x = leaf(np.arange(9).reshape(3, 3), np.float64)
    for _ in range(3):  # the second round writes into the first one's array
        x.zero_grad()
        (x @ x).sum().backward()
        ones = np.ones((3, 3))
        np.testing.assert_array_equal(x.grad, ones @ x.data.T + x.data.T @ ones)


def test_a_diamond_is_walked_once():
    calls = []

    def spy(grad, node):
        calls.append(1)
        return (grad,)

    from odyssey.tensor import record

    x = leaf([1.0])
    y = record(x.data, spy, (x.node,), None)
    left, right = y * 2.0, y * 3.0
    (left + right * left).sum().backward()
    assert calls == [1]
    assert x.grad.tolist() == [2 + 2 * 6]


def test_a_long_chain_needs_no_recursion():
    x = leaf([1.0])
    y = x
    for _ in range(20_000):
        y = y + 0.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    y = x
    for _ in range(20_000):
        y = y + 0.0
    del y  # a tape nobody walks is freed without recursion too


def test_a_second_backward_is_an_error_that_says_what_to_do():
    x = leaf([1.0])
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"expected a tape that has not been used.*run the forward pass again"):
        loss.backward()


def test_an_error_in_the_middle_leaves_no_gradient_behind_on_the_tape():
    from odyssey.tensor import record

    def fail(grad, node):
        raise ZeroDivisionError

    x = leaf([2.0])
    shared = x * 3.0
    bad = record(shared.data, fail, (shared.node,), None)
    with pytest.raises(ZeroDivisionError):
        (shared + bad).sum().backward()
    assert shared.node.grad is None


def test_backward_wants_one_element_or_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"expected a single element, found shape \(2,\)"):
        (x * x).backward()
    with pytest.raises(ShapeError, match=r"expected a gradient \(2,\) float32, found \(3,\) float32"):
        (x * x).backward(np.ones(3, np.float32))
    (x * x).backward(np.array([1.0, 10.0], np.float32))
    assert x.grad.tolist() == [2.0, 40.0]
    with pytest.raises(RuntimeError, match="expected a Tensor computed from one with requires_grad"):
        od.Tensor([1.0]).backward()


def test_backward_of_a_leaf_is_its_gradient_and_does_not_keep_the_callers_array():
    x, given = leaf([1.0, 2.0]), np.ones(2, np.float32)
    x.backward(given)
    given[0] = 7
    assert x.grad.tolist() == [1.0, 1.0]


def test_leaves_that_receive_the_same_array_do_not_share_it():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (a + b).backward(np.ones(2, np.float32))
    a.grad[0] = 9
    assert b.grad.tolist() == [1.0, 1.0]


def test_gradients_are_contiguous_even_through_a_transpose():
    x = leaf(np.arange(6).reshape(2, 3))
    (x.T * np.arange(6, dtype=np.float32).reshape(3, 2)).sum().backward()
    assert x.grad.flags.c_contiguous
    assert x.grad.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_gradient_arrays_are_used_again_but_not_while_somebody_holds_them():
    x, w = leaf(np.ones((2, 3))), leaf(np.ones((3, 2)))

    def step():
        x.zero_grad()
        w.zero_grad()
        (x @ w).sum().backward()
        return w.grad.__array_interface__["data"][0]

    step()
    assert step() == step()
    kept = w.grad
    view = x.grad[0]
    before = kept.copy(), view.copy()
    w.data[...] = 5
    x.data[...] = 7
    step()
    assert w.grad is not kept
    np.testing.assert_array_equal(kept, before[0])
    np.testing.assert_array_equal(view, before[1])


def test_zero_grad_to_zeros_keeps_the_array():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    grad = x.grad
    x.zero_grad(set_to_none=False)
    assert x.grad is grad
    assert grad.tolist() == [0.0, 0.0]
    x.zero_grad()
    assert x.grad is None


def test_grad_can_be_set_only_where_it_belongs():
    x = leaf([1.0, 2.0])
    x.grad = np.ones(2, np.float32)
    with pytest.raises(ShapeError, match="expected"):
        x.grad = np.ones(3, np.float32)
    with pytest.raises(RuntimeError, match="expected a Tensor made with requires_grad=True"):
        (x * 2.0).grad = np.ones(2, np.float32)
    od.Tensor([1.0]).grad = None


def test_requires_grad_can_be_switched_on_leaves_alone():
    x = od.Tensor([1.0])
    x.requires_grad = True
    y = x * 2.0
    with pytest.raises(RuntimeError, match="expected a Tensor made by the user"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2.0).requires_grad


def test_no_grad_as_context_and_decorator():
    x = leaf([1.0])
    with od.no_grad():
        assert not (x * 2.0).requires_grad
        with od.enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad

    @od.no_grad()
    def twice(v):
        return v * 2.0

    assert not twice(x).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_is_of_its_thread():
    import threading

    x, seen = leaf([1.0]), []
    with od.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_no_grad_ends_with_an_error_too():
    x = leaf([1.0])
    with pytest.raises(ZeroDivisionError), od.no_grad():
        raise ZeroDivisionError
    assert (x * 2.0).requires_grad


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(1, None), (slice(None), 1), ..., (None, 2), [0, 2, 2], np.array([1, 1, 0]), (slice(None), [0, 0])],
    ids=str,
)
def test_indexing_scatters_its_gradient(index):
    x = leaf(np.arange(12).reshape(3, 4), np.float64)
    y = x[index]
    np.testing.assert_array_equal(y.data, x.data[index])
    weight = np.arange(1, y.size + 1, dtype=np.float64).reshape(y.shape)
    y.backward(weight)
    expected = np.zeros((3, 4))
    np.add.at(expected, index, weight)
    np.testing.assert_array_equal(x.grad, expected)


def test_indexing_by_mask_and_by_tensor():
    x = leaf([1.0, 2.0, 3.0])
    (x[x > 1.5] * 2.0).sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 2.0]
    x.zero_grad()
    x[od.Tensor([2, 2])].sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 2.0]


def test_iteration_goes_over_the_first_axis():
    assert [row.data.tolist() for row in od.Tensor([[1.0], [2.0]])] == [[1.0], [2.0]]


def test_changes_of_shape():
    x = leaf(np.arange(24).reshape(2, 3, 4))
    assert x.reshape(4, 6).shape == x.reshape((4, 6)).shape == x.reshape(-1, 6).shape == (4, 6)
    assert x.flatten().shape == (24,)
    assert x.flatten(1).shape == (2, 12)
    assert x.flatten(0, 1).shape == (6, 4)
    assert od.Tensor(1.0).flatten().shape == (1,)
    assert x.transpose(2, 0, 1).shape == x.transpose((2, 0, 1)).shape == (4, 2, 3)
    assert x.T.shape == x.transpose().shape == (4, 3, 2)
    with pytest.raises(ValueError, match="start_axis before end_axis"):
        x.flatten(2, 1)
    (x.transpose(2, 0, 1).reshape(4, 6) * np.arange(24, dtype=np.float32).reshape(4, 6)).sum().backward()
    np.testing.assert_array_equal(x.grad, np.arange(24).reshape(4, 2, 3).transpose(1, 2, 0))


def test_tensors_can_be_copied_and_pickled():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.requires_grad
        assert twin.data is not x.data
        assert twin.grad.tolist() == [2.0, 4.0]


def test_pickles_of_parameters_and_of_subclasses_keep_what_they_are():
    parameter = pickle.loads(pickle.dumps(od.nn.Parameter(np.ones(2))))
    assert type(parameter) is od.nn.Parameter
    assert parameter.requires_grad
    named = Named([1.0])
    named.name = "bias"
    assert copy.deepcopy(named).name == "bias"
    assert not copy.deepcopy(named).requires_grad


class Named(od.Tensor):
    """A user's own Tensor, with an attribute."""


def test_deepcopy_keeps_one_tensor_one():
    x = leaf([1.0])
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_a_result_is_not_pickled_without_its_history():
    with pytest.raises(RuntimeError, match=r"pickle, deepcopy: expected .* use .detach\(\)"):
        pickle.dumps(leaf([1.0]) * 2.0)


def test_the_buffer_is_the_array_itself():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    view = memoryview(x)
    assert (view.format, view.shape, view.nbytes) == ("f", (2, 2), 16)
    view[0, 0] = 5.0
    assert x.data[0, 0] == 5.0
    assert memoryview(x.T).strides == (4, 8)
    frozen = np.ones(2)
    frozen.flags.writeable = False
    assert memoryview(od.Tensor(frozen)).readonly


def test_a_buffer_keeps_the_memory():
    view = memoryview(od.Tensor(np.arange(1000.0)))
    assert view[999] == 999.0


def test_array_interface_and_dlpack_share_memory():
    x = od.Tensor([1.0, 2.0])
    assert x.__array_interface__ == x.data.__array_interface__
    assert x.__dlpack_device__() == (1, 0)
    assert np.shares_memory(np.from_dlpack(x), x.data)
    with pytest.raises(BufferError, match=r"pass x.detach\(\)"):
        np.from_dlpack(leaf([1.0]))


def test_retain_graph_lets_backward_run_again():
    x = leaf([3.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [12.0]
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_retain_graph_serves_operations_of_several_results():
    draw = np.random.default_rng(0).normal
    x, fn, base, scale = (leaf(draw(size=shape), np.float64) for shape in ((3, 2, 4), (8, 8), (8,), (3,)))
    collapsed, post, _ = od.nn.functional.hyper_pre(x, fn, base, scale)
    collapsed.sum().backward(retain_graph=True)
    alone = x.grad.copy()
    for tensor in (x, fn, base, scale):
        tensor.zero_grad()
    post.sum().backward(retain_graph=True)
    x.zero_grad()
    collapsed.sum().backward()
    np.testing.assert_array_equal(x.grad, alone)  # nothing of post's walk was left behind


def test_a_backward_of_the_wrong_count_is_named():
    from odyssey.tensor import record

    def _twice_backward(grad, node):
        return grad, grad

    x = leaf([1.0])
    with pytest.raises(ValueError, match="_twice_backward: expected 1 gradients, found 2"):
        record(x.data, _twice_backward, (x.node,), None).backward(np.ones(1, np.float32))


def test_an_error_on_the_way_leaves_nothing_half_summed():
    from odyssey.tensor import record

    fails = [True]

    def sometimes(grad, node):
        if fails[0]:
            raise ZeroDivisionError
        return (grad,)

    x = leaf([1.0])
    middle = x * 2.0
    y = record(middle.data, sometimes, (middle.node,), None) + middle * 3.0
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    fails[0] = False
    x.zero_grad()
    y.backward()
    assert x.grad.tolist() == [8.0]


def test_a_long_tape_is_dropped_without_recursion():
    y = leaf([1.0])
    for _ in range(100_000):
        y = -y
    del y


def test_many_branches_are_walked_newest_first():
    x = leaf([1.0])
    terms = [x * float(i) for i in range(200)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    total.backward()
    assert x.grad.tolist() == [sum(range(200))]


def test_use_reference_switches_and_nests_and_comes_back():
    from odyssey.tensor import ops

    fast = ops.matmul
    with od.use_reference():
        assert ops.matmul is od.reference.matmul
        with od.use_reference():
            assert ops.matmul is od.reference.matmul
        assert ops.matmul is od.reference.matmul
        x = leaf([[2.0]])
        (x @ x).sum().backward()
        assert x.grad.tolist() == [[4.0]]
    assert ops.matmul is fast
    assert ops.matmul is od.matmul


def test_backwards_in_several_threads_do_not_disturb_each_other():
    from concurrent.futures import ThreadPoolExecutor

    def work(seed):
        x = leaf(np.random.default_rng(seed).normal(size=(5, 5)), np.float64)
        for _ in range(20):
            x.zero_grad()
            (x @ x).sum().backward()
        ones = np.ones((5, 5))
        np.testing.assert_allclose(x.grad, ones @ x.data.T + x.data.T @ ones)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
