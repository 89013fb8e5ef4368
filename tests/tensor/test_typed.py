"""TypedTensor: the flat namespace's results to the bit, one dtype, shared memory that stays alive."""

import gc
import inspect
import io
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import odyssey as od
from odyssey._kernels import typed
from odyssey.errors import DTypeError, LayoutError, ShapeError
from odyssey.testing.call import LAYOUTS
from odyssey.testing.cases import CASES

F32, F64 = od.Float32Tensor, od.Float64Tensor
# axpy begins with a number; the backwards and what takes labels stay functions of arrays.
OPS = sorted(set(CASES) & set(dir(od.TypedTensor)))
FAMILIES = ("elementwise", "activations", "reductions", "softmax", "linear")


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def as_typed(value):
    fits = isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64) and value.ndim <= 8
    return od.TypedTensor[value.dtype](value) if fits else value


def called(op, call, out=None):
    """The method of the operation's first tensor, on the arguments of `call`."""
    first, *rest = [as_typed(value) for value in call.args]
    options = {name: as_typed(value) for name, value in call.kwargs.items()}
    return getattr(first, op)(*rest, **options, **({} if out is None else {"out": out}))


def test_every_forward_of_these_families_is_a_method():
    forwards = {op for op, case in CASES.items() if case.family in FAMILIES and not op.endswith("_backward")}
    assert forwards - set(OPS) == {"axpy", "swiglu"}  # of several arrays, none of which is the one it belongs to


@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("op", OPS)
def test_a_method_has_the_bits_of_the_function(op, layout):
    case, compared = CASES[op], 0
    for dtype in case.dtypes:
        for sample in case.samples(dtype, large=False):
            call = case.draw(sample)
            if sample.regime not in ("normal", "special", "lognormal") or not isinstance(call.args[0], np.ndarray):
                continue
            call, again = call.fresh(layout), call.fresh(layout)  # matmul with beta writes into out
            with np.errstate(all="ignore"):
                try:
                    expected = np.asarray(getattr(od, op)(*call.args, **call.kwargs))
                except ValueError:
                    continue  # the largest of no elements
                result = np.asarray(called(op, again))
            assert result.dtype == expected.dtype
            assert result.shape == expected.shape
            assert result.tobytes() == expected.tobytes(), sample
            compared += 1
    assert compared > 4


@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("op", [op for op in OPS if CASES[op].takes_out and op != "argmax"])
def test_out_is_written_and_returned_with_the_same_bits(op, layout):
    case, compared = CASES[op], 0
    for dtype in case.dtypes:
        for sample in case.samples(dtype, large=False):
            call = case.draw(sample)
            if sample.regime != "normal" or "out" in call.kwargs or not isinstance(call.args[0], np.ndarray):
                continue
            try:
                expected = np.asarray(getattr(od, op)(*call.args, **call.kwargs))
            except ValueError:
                continue
            out = as_typed(LAYOUTS[layout](np.full(expected.shape, 77, expected.dtype)))
            assert called(op, call, out) is out
            assert np.asarray(out).tobytes() == expected.tobytes(), sample
            compared += 1
    assert compared > 4


@pytest.mark.parametrize("op", [op for op in OPS if op != "prelu"])
def test_methods_take_the_functions_arguments(op):
    function = list(inspect.signature(getattr(od, op)).parameters.values())[1:]
    method = list(inspect.signature(getattr(od.TypedTensor, op)).parameters.values())[1:]
    known = [p for p in function if p.name != "precision"]  # for packed weights, which are for large products
    assert [p.default for p in method] == [p.default for p in known]
    named = [p.name for p in known]
    assert [p.name for p in method] == ["other" if name == "b" and op != "fma" else name for name in named]


def test_the_class_of_a_dtype():
    assert od.TypedTensor[np.float32] is F32
    assert od.TypedTensor["float64"] is F64
    for other in (np.int32, "nonsense"):
        with pytest.raises(DTypeError, match=r"float32 or np.float64 in brackets"):
            od.TypedTensor[other]
    with pytest.raises(TypeError, match=r"remedy: TypedTensor\[np.float32\]"):
        od.TypedTensor(numbers(3))


def test_another_dtype_is_an_error_with_a_remedy_that_works():
    a, b = F32(numbers(3)), F64(numbers(3, dtype=np.float64))
    for mix in (lambda: a + b, lambda: b * a, lambda: a.add(b), lambda: a.dot(b), lambda: a.minimum(b.numpy())):
        with pytest.raises(DTypeError, match="one dtype"):
            mix()
    with pytest.raises(DTypeError, match=r"remedy: b.astype\(np.float32\)"):
        a.add(b)
    assert isinstance(a + b.astype(np.float32), F32)
    with pytest.raises(DTypeError, match=r"remedy: x.astype\(np.float32\)"):
        F32(numbers(3, dtype=np.float64))
    with pytest.raises(DTypeError, match=r"remedy: value.astype\(np.float32\)"):
        a[0] = b[0]
    with pytest.raises(DTypeError, match="out must have dtype"):
        a.exp(out=b)
    with pytest.raises(DTypeError):
        F32([1.0, 2.0])
    with pytest.raises(DTypeError):
        np.ones(3) + a


def test_a_type_checker_sees_the_dtype(tmp_path):
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import numpy as np
        from odyssey.tensor import FixedTensor, Float32Tensor, Float64Tensor, TypedTensor

        a = Float32Tensor(np.zeros(3, np.float32))
        b = Float64Tensor(np.zeros(3))
        good: TypedTensor[np.float32] = (a + a).relu().matmul(a)
        also: TypedTensor[np.float64] = b.exp(out=b) * 2.0
        made: TypedTensor[np.float32] = TypedTensor[np.float32](np.zeros(3, np.float32))
        kernel = FixedTensor[3, 3]([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        a + b  # E
        a.add(b)  # E
        a.exp(out=b)  # E
        wrong: TypedTensor[np.float64] = a.sum()  # E
        """)
    )
    run = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(program)]
    found = subprocess.run(run, capture_output=True, text=True, check=False).stdout
    wrong = {n for n, line in enumerate(program.read_text().splitlines(), 1) if line.endswith("# E")}
    assert {int(line.split(":")[1]) for line in found.splitlines() if "error:" in line} == wrong, found


def test_memory_is_shared_with_the_array():
    array = numbers(3, 4)
    tensor = F32(array)
    tensor[0, 0] = 5
    assert array[0, 0] == 5
    assert np.shares_memory(tensor.numpy(), array)
    assert np.shares_memory(np.asarray(tensor), array)
    assert np.shares_memory(np.from_dlpack(tensor), array)
    assert tensor.__dlpack_device__() == (1, 0)
    assert F32(tensor).numpy().ctypes.data == array.ctypes.data
    assert np.frombuffer(memoryview(tensor)).ctypes.data == array.ctypes.data
    assert F32(memoryview(array)).numpy().ctypes.data == array.ctypes.data
    assert not np.shares_memory(tensor.copy().numpy(), array)
    assert not np.shares_memory(np.array(tensor), array)


def test_what_is_made_of_a_tensor_keeps_it_alive():
    results = [F32(numbers(n)) * 2.0 for n in (3, 33, 40_000)]
    kept = []
    for tensor in results:
        kept += [tensor.numpy(), tensor[1:], memoryview(tensor), tensor.reshape(-1, 1), tensor.T]
    expected = [np.array(one) for one in kept]
    del results, tensor
    gc.collect()
    for _ in range(100):
        F32(numbers(3)) * 3.0
    for one, was in zip(kept, expected, strict=True):
        assert np.array_equal(np.asarray(one), was)


def test_views_have_the_arrays_layout():
    array = numbers(4, 6)
    tensor = F32(array)
    for index in (np.s_[1], np.s_[:, ::2], np.s_[::-1, 1:], np.s_[..., 2], np.s_[1, 1]):
        view = tensor[index]
        assert isinstance(view, F32)
        assert view.shape == array[index].shape
        assert np.array_equal(view, array[index])
    assert tensor[:, ::2].strides == array[:, ::2].strides
    assert tensor.T.shape == tensor.transpose(1, 0).shape == (6, 4)
    assert tensor.reshape(3, 8).shape == tensor.reshape((3, 8)).shape == (3, 8)
    assert [row.tolist() for row in tensor] == array.tolist()
    assert np.array_equal(tensor[tensor > 0], array[array > 0])


def test_it_looks_like_an_array():
    tensor = F64(np.array([[1.0, 2.0]]))
    assert (tensor.shape, tensor.strides, tensor.dtype, tensor.ndim, tensor.size, tensor.nbytes, len(tensor)) == (
        (1, 2), (16, 8), np.float64, 2, 2, 16, 1,
    )  # fmt: skip
    assert repr(tensor) == "Float64Tensor([[1., 2.]])"
    assert tensor.tolist() == [[1.0, 2.0]]
    assert tensor[0, 1].item() == float(tensor[0, 1]) == 2.0
    assert bool(tensor[0, 0])
    assert hash(tensor) != hash(tensor.copy())
    assert (tensor == tensor.copy()).all()
    assert not (tensor != 1.0 * tensor).any()
    assert (tensor >= 1).all()
    assert (tensor <= 2).all()
    assert (tensor < tensor + 1.0).all()
    with pytest.raises(TypeError, match="no length"):
        len(tensor[0, 0])
    assert np.array(tensor, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="no copy"):
        tensor.__array__(np.float32, copy=False)
    assert not np.shares_memory(tensor.__array__(copy=True), tensor.numpy())


def test_operators_are_the_operations():
    a, b = numbers(2, 3) + 5, numbers(2, 3)
    x, y = F32(a), F32(b)
    pairs = [
        (x + y, od.add(a, b)), (x - y, od.subtract(a, b)), (x * y, od.multiply(a, b)), (x / y, od.divide(a, b)),
        (x**y, od.power(a, b)), (2 + x, od.add(2, a)), (2 - x, od.subtract(2, a)), (2.5 * x, od.multiply(2.5, a)),
        (2 / x, od.divide(2, a)), (2**x, od.power(2.0, a)), (x @ y.T, od.matmul(a, b.T)), (a @ y.T, od.matmul(a, b.T)),
        (-x, od.scale(a, -1)), (a + y, od.add(a, b)), (x - b, od.subtract(a, b)), (x + y[0], od.add(a, b[0])),
        (x.matmul(y.T, alpha=2.0), od.matmul(a, b.T, alpha=2.0)), (x + np.float32(1), od.add(a, np.float32(1))),
        (x.clip(np.nan, 1.0), od.clip(a, np.nan, 1.0)), (x.prelu(y[0, :1]), od.prelu(a, b[0, :1])),
    ]  # fmt: skip
    for result, expected in pairs:
        assert isinstance(result, F32)
        assert np.asarray(result).tobytes() == expected.tobytes()
    kept, expected = x, a.copy()
    for change, function in (("__iadd__", od.add), ("__isub__", od.subtract), ("__imul__", od.multiply), ("__itruediv__", od.divide)):
        expected = function(expected, b)
        x = getattr(x, change)(y)
        assert x is kept
        assert np.array_equal(a, expected)  # in place


def test_large_tensors_go_by_every_thread_with_the_same_bits(threads):
    a = numbers(300, 1000)
    x = F32(a)
    for op in ("exp", "softmax", "sum", "var"):
        assert np.asarray(getattr(x, op)()).tobytes() == np.asarray(getattr(od, op)(a)).tobytes()
    assert np.asarray(x @ x.T).tobytes() == od.matmul(a, a.T).tobytes()


def test_linear_fuses_and_takes_arrays_too():
    a, w, b = numbers(3, 5), numbers(4, 5), numbers(4)
    for activation in (None, "relu", "gelu"):
        expected = od.linear(a, w, b, activation)
        assert F32(a).linear(F32(w), F32(b), activation).numpy().tobytes() == expected.tobytes()
        assert F32(a).linear(w, b, activation).numpy().tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match="activation must be one of"):
        F32(a).linear(F32(w), None, "nothing")
    with pytest.raises(ShapeError, match="bias must have shape"):
        F32(a).linear(F32(w), F32(numbers(5)))


def test_an_out_that_overlaps_is_an_error_and_the_operand_itself_is_not():
    memory = F32(numbers(20))
    part, other = memory[:16], memory[2:18]
    for wrong in (
        lambda: part.exp(out=other), lambda: part.add(2.0, out=other), lambda: part.add(part, out=other),
        lambda: part.fma(part, part, out=other), lambda: part.softmax(out=other),
        lambda: part.reshape(4, 4).matmul(part.reshape(4, 4), out=other.reshape(4, 4)), lambda: part.sum(out=memory[3:4].reshape(())),
    ):  # fmt: skip
        with pytest.raises((LayoutError, ShapeError)):
            wrong()
    expected = od.exp(part.numpy())
    assert part.exp(out=part) is part
    assert np.array_equal(part, expected)
    assert part.fma(part, part, out=part) is part
    assert part.softmax(out=part) is part


def test_out_may_be_an_array_and_the_result_is_that_array():
    out = np.zeros(3, np.float32)
    assert F32(numbers(3)).exp(out=out) is out
    assert np.array_equal(out, od.exp(numbers(3)))
    with pytest.raises(ShapeError, match="out must have shape"):
        F32(numbers(3)).exp(out=F32(numbers(4)))
    total = F32(numbers(1))
    with pytest.raises(ShapeError, match="out must have shape"):
        F32(numbers(4, 3)).sum(axis=-1, out=total)


def test_read_only_memory_is_read_and_not_written():
    array = numbers(4)
    array.flags.writeable = False
    tensor = F32(array)
    assert np.array_equal(tensor + tensor, array + array)
    with pytest.raises(LayoutError, match="read-only"):
        tensor.exp(out=tensor)
    with pytest.raises(ValueError, match="read-only"):
        tensor[0] = 1
    assert memoryview(tensor).readonly
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(bytes(16)).readinto(tensor)


def test_the_buffer_says_how_it_lies():
    tensor = F64(np.arange(6.0).reshape(2, 3))
    view = memoryview(tensor)
    assert (view.format, view.shape, view.strides, view.readonly) == ("d", (2, 3), (24, 8), False)
    assert bytes(tensor) == tensor.numpy().tobytes()
    assert memoryview(tensor.T).strides == (8, 24)
    with pytest.raises(BufferError, match="not contiguous"):
        np.frombuffer(tensor.T)
    np.asarray(memoryview(F32(np.float32(3)))).tolist()


def test_pickles_hold_the_elements():
    tensor = F32(numbers(4, 5))[:, ::2]
    again = pickle.loads(pickle.dumps(tensor))
    assert type(again) is F32
    assert np.array_equal(again, tensor)


def test_more_axes_than_it_has_room_for_are_an_error():
    array = np.zeros((1,) * 9, np.float32)
    with pytest.raises(ShapeError, match="at most 8 axes"):
        F32(array)
    wide = F32(np.zeros((1,) * 8, np.float32))
    assert wide.ndim == 8
    assert isinstance(wide.add(array), np.ndarray)


def test_a_tensor_is_made_once_and_never_by_halves():
    tensor = F32(numbers(3))
    with pytest.raises(TypeError, match="made once"):
        tensor.__init__(numbers(4))
    hollow = F32.__new__(F32)
    for use in (hollow.numpy, hollow.exp, lambda: hollow + hollow, hollow.sum, lambda: repr(hollow), hollow.softmax, hollow.item):
        with pytest.raises(ValueError, match="holds nothing"):
            use()
    with pytest.raises(BufferError, match="holds nothing"):
        memoryview(hollow)


def test_a_subclass_is_a_tensor_and_computes_to_one():
    class Mine(F32):
        pass

    mine = Mine(numbers(3))
    mine.name = "mine"
    assert type(mine + mine) is F32
    assert repr(mine).startswith("Mine(")


def test_the_functions_of_arrays_take_a_tensor_without_a_copy():
    tensor = F32(numbers(8))
    assert np.array_equal(od.exp(tensor), od.exp(tensor.numpy()))
    assert isinstance(np.sqrt(abs(tensor.numpy())), np.ndarray)
    assert isinstance(np.exp(tensor), np.ndarray)


def test_signatures_are_seen():
    assert str(inspect.signature(F32.softplus)) == "(self, /, beta=1.0, threshold=20.0, out=None)"
    assert typed.TypedTensor is od.TypedTensor
