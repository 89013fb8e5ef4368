"""What an elementwise call is: shapes, numbers, memory, errors. Values are held to the reference by testing/cases."""

import array
import mmap
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import odyssey as od

DTYPES = (np.float32, np.float64)
ARITHMETIC = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "minimum": np.minimum,
    "maximum": np.maximum,
}
EXACT_UNARY = {"sqrt": np.sqrt, "reciprocal": np.reciprocal, "relu": lambda x: np.maximum(x, 0)}


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


def normal(rng, shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


# ---- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((), ()),
        ((), (5,)),
        ((3,), ()),
        ((1,), (1,)),
        ((1,), (40,)),
        ((40,), (1, 1)),
        ((4, 1), (1, 5)),
        ((3, 1, 5), (4, 1)),
        ((2, 3, 4), (3, 1)),
        ((2, 3, 4, 5), (3, 1, 1)),
        ((7, 3), (3,)),
        ((1000, 3), (3,)),
        ((70, 70), (70, 1)),
        ((0,), (1,)),
        ((0, 3), (3,)),
        ((5, 1), (5, 0)),
        ((1, 1, 1, 1, 1, 1, 1), (2, 1, 2, 1, 2, 1, 2)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_operations_broadcast_as_numpy(isa, rng, a_shape, b_shape, dtype):
    a, b = normal(rng, a_shape, dtype), normal(rng, b_shape, dtype)
    for name, numpy_op in ARITHMETIC.items():
        for x, y in ((a, b), (b, a)):
            expected = numpy_op(x, y)
            found = getattr(od, name)(x, y)
            assert type(found) is type(expected)
            equal(found, expected)
            out = np.full(np.shape(expected), np.nan, dtype)
            assert getattr(od, name)(x, y, out) is out
            equal(out, np.asarray(expected))


def odd_view(rng, shape, dtype):
    """An array of this shape whose memory is anything but plain."""
    order = rng.permutation(len(shape))
    padded = [shape[axis] * int(rng.integers(1, 3)) + int(rng.integers(0, 3)) for axis in order]
    base = normal(rng, padded, dtype)
    view = base
    for position, axis in enumerate(order):
        step = padded[position] // max(shape[axis], 1)
        index = [slice(None)] * len(shape)
        index[position] = slice(None, max(shape[axis] * step, 0) or 0, max(step, 1))
        view = view[tuple(index)]
        if rng.random() < 0.3:
            view = np.flip(view, position)
    view = view.transpose(np.argsort(order))
    if rng.random() < 0.2:
        raw = np.empty(view.nbytes + 8, np.uint8)
        moved = np.frombuffer(raw.data, dtype, view.size, offset=1).reshape(view.shape)
        moved[...] = view
        view = moved
    return view


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_strides_any_alignment_any_broadcast(isa, threads, dtype):
    rng = np.random.default_rng([threads, np.dtype(dtype).itemsize])
    for trial in range(150):
        ndim = int(rng.integers(0, 5))
        limit = [3000, 200, 60, 20, 9][ndim] if trial % 3 else 5
        shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.05 else 1, limit, ndim))
        operands = []
        for _ in range(3):
            thinned = tuple(1 if rng.random() < 0.25 else n for n in shape)
            cut = int(rng.integers(0, ndim + 1)) if rng.random() < 0.3 else 0
            operands.append(odd_view(rng, thinned[cut:], dtype))
        a, b, c = operands
        expected = np.subtract(np.asarray(a), b)
        equal(od.subtract(a, b), expected)
        out = odd_view(rng, expected.shape, dtype)
        assert od.subtract(a, b, out=out) is out
        equal(out, np.asarray(expected))
        equal(od.sqrt(np.abs(a)), np.sqrt(np.abs(a)))
        # fma of whole numbers is exact, whatever the rounding
        whole = [np.trunc(4 * x) for x in (a, b, c)]
        equal(od.fma(*whole), whole[0] * whole[1] + whole[2])


def test_negative_zero_dimensional_and_sixty_four_axes(isa):
    x = np.ones((1,) * 63 + (3,), np.float32)
    equal(od.add(x, x), x + x)
    equal(od.add(x[..., ::-1], np.float32([1, 2, 3])), x + np.float32([1, 2, 3]))


def test_broadcast_views_are_operands_too(isa):
    row = np.arange(6, dtype=np.float32)
    tall = np.broadcast_to(row, (50, 6))
    one = np.broadcast_to(np.float32(3), (50, 6))
    equal(od.multiply(tall, one), tall * one)
    equal(od.sqrt(one), np.sqrt(one))


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [2, -0.1, 3.5, float("inf"), True, np.float64(0.1)])
@pytest.mark.parametrize("shape", [(37,), (5, 4), ()])
def test_python_numbers_take_the_arrays_dtype(isa, rng, dtype, number, shape):
    x = np.asarray(normal(rng, shape, dtype))
    cast = dtype(number)
    equal(od.add(x, number), x + cast)
    equal(od.subtract(number, x), cast - x)
    out = np.empty_like(x)
    assert od.divide(number, x, out=out) is out
    equal(out, np.asarray(cast / x))


def test_numpy_scalars_of_the_same_dtype_are_arrays_without_axes(isa):
    equal(od.add(np.float32(1), np.float32(2)), np.float32(3))
    equal(od.add(np.float64(1), np.float64(2)), np.float64(3))
    equal(od.add(np.float32([1, 2]), np.float32(2)), np.float32([3, 4]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_takes_numbers_in_every_place(isa, dtype):
    x, y = np.arange(33, dtype=dtype), np.arange(33, 66, dtype=dtype)
    equal(od.fma(x, 2.0, y), x * 2 + y)
    equal(od.fma(2, x, 1.0), x * 2 + 1)
    equal(od.fma(3.0, 4, y), 12 + y)
    equal(od.fma(x, y, -1), x * y - 1)
    with pytest.raises(od.errors.DTypeError):
        od.fma(1.0, 2.0, 3.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_operations_round_once(isa, dtype):
    eps = np.finfo(dtype).eps
    a = np.full(40, 1 + eps, dtype)
    c = np.full(40, -(1 + 2 * eps), dtype)
    equal(od.fma(a, a, c), np.full(40, eps * eps, dtype))
    equal(od.axpy(float(1 + eps), a, c), np.full(40, eps * eps, dtype))


def test_axpy_in_place(isa, rng):
    x, y = np.trunc(normal(rng, 100) * 8), np.trunc(normal(rng, 100) * 8)
    expected = 3 * x + y
    assert od.axpy(3, x, y, out=y) is y
    equal(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_minimum_maximum_and_clip_hand_nan_on(isa, dtype):
    nan = float("nan")
    a = np.tile(np.array([nan, 1, nan, 2], dtype), 9)
    b = np.tile(np.array([1, nan, nan, 3], dtype), 9)
    for op in ("minimum", "maximum"):
        equal(getattr(od, op)(a, b), ARITHMETIC[op](a, b))
        assert np.isnan(getattr(od, op)(a, nan)).all()
    equal(od.clip(a, 1.5, 9.0), np.clip(a, 1.5, 9.0))
    equal(od.clip(a, 3.0, 1.0), np.clip(a, 3.0, 1.0))
    assert np.isnan(od.clip(b, nan, 1.0)).all()
    assert np.isnan(od.clip(b, 0.0, nan)).all()


def test_signs_of_zero(isa):
    zeros = np.float32([0.0, -0.0] * 20)
    assert (np.signbit(od.relu(zeros)) == np.signbit(zeros)).all()
    assert (np.signbit(od.sqrt(zeros)) == np.signbit(zeros)).all()
    assert not np.signbit(od.maximum(zeros, 0.0)).any()
    assert np.signbit(od.minimum(zeros, -0.0)).all()


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*range(0, 70), 511, 512, 513, 1000])
def test_nothing_beyond_the_last_element_is_touched(isa, dtype, size):
    for offset in (0, 1, 5):
        memory = np.full(size + 96, 7, dtype)
        out = memory[40 + offset : 40 + offset + size]
        x = np.linspace(0.5, 2, size, dtype=dtype)
        od.add(x, x, out=out)
        equal(out, x + x)
        od.sqrt(x, out=out)
        equal(out, np.sqrt(x))
        od.fma(x, 1.0, 1.0, out=out)
        equal(out, x + 1)
        assert (memory[: 40 + offset] == 7).all()
        assert (memory[40 + offset + size :] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3, 15])
def test_results_that_exceed_the_caches(isa, threads, dtype, offset):
    # more than any last-level cache streaming stores begin at: 40 million bytes moved and up
    n = 4_000_003 * 4 // np.dtype(dtype).itemsize
    memory = np.full(n + 64, 7, dtype)
    out = memory[offset : offset + n]
    x = np.arange(n, dtype=dtype)
    od.add(x, 1.0, out=out)
    equal(out, x + 1)
    od.add(x, x, out=out)
    equal(out, x + x)
    assert (memory[:offset] == 7).all()
    assert (memory[offset + n :] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(isa, rng, dtype):
    for shape in ((1000,), (30, 40), ()):
        a, b = np.asarray(normal(rng, shape, dtype)), np.asarray(normal(rng, shape, dtype))
        expected = a - b
        x, y = a.copy(), b.copy()
        assert od.subtract(x, y, out=x) is x
        equal(x, np.asarray(expected))
        x = a.copy()
        od.subtract(x, y, out=y)
        equal(y, np.asarray(expected))
        x = a.copy()
        od.add(x, x, out=x)
        equal(x, np.asarray(a + a))


def test_in_place_through_strides(isa):
    memory = np.arange(100, dtype=np.float32)
    view = memory[::-2]
    od.multiply(view, 2.0, out=view)
    expected = np.arange(100, dtype=np.float32)
    expected[1::2] *= 2
    equal(memory, expected)


def test_out_may_interleave_with_an_operand(isa):
    memory = np.arange(100, dtype=np.float32)
    od.add(memory[::2], 1.0, out=memory[1::2])
    equal(memory[1::2], np.arange(0, 100, 2, dtype=np.float32) + 1)
    equal(memory[::2], np.arange(0, 100, 2, dtype=np.float32))


@pytest.mark.parametrize("count", [16, 200_000])
def test_a_partly_overlapping_out_is_refused(isa, count):
    memory = np.arange(count + 4, dtype=np.float32)
    before = memory.copy()
    for out, x in ((memory[4:], memory[:-4]), (memory[:-4], memory[4:]), (memory[::-1], memory)):
        for op in (od.sqrt, lambda x, out: od.add(x, x, out=out), lambda x, out: od.add(1.0, x, out=out)):
            with pytest.raises(od.errors.LayoutError, match="overlaps"):
                op(x, out=out)
    # one value that serves all elements must not be overwritten on the way either
    with pytest.raises(od.errors.LayoutError, match="overlaps"):
        od.add(memory, memory[2:3], out=memory)
    equal(memory, before)


def test_large_results_lie_on_cache_lines(isa):
    x = np.ones(100_000, np.float32)
    for _ in range(5):
        assert od.add(x, x).ctypes.data % 64 == 0


def test_results_keep_their_memory_alive(isa):
    x = np.ones(100_000, np.float32)
    view = od.add(x, x)[10:20]
    for _ in range(10):
        od.add(x, 5.0)
    equal(view, np.full(10, 2, np.float32))


class Exporter:
    """Hands out memory by DLPack alone."""

    def __init__(self, x):
        self.x = x

    def __dlpack__(self, **options):
        return self.x.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.x.__dlpack_device__()


class Interface:
    """Hands out memory by NumPy's array interface."""

    def __init__(self, x):
        self.x = x
        self.__array_interface__ = x.__array_interface__


class Named(np.ndarray):
    pass


def test_whatever_has_memory_is_an_operand(isa):
    x = np.linspace(1, 2, 50, dtype=np.float32)
    double = np.linspace(1, 2, 50)
    pages = mmap.mmap(-1, x.nbytes)
    pages.write(x.tobytes())
    read_only = x.copy()
    read_only.setflags(write=False)
    for operand in (
        memoryview(x),
        Exporter(x),
        Interface(x),
        x.view(Named),
        memoryview(x)[::-1][::-1],
        np.frombuffer(pages, np.float32),
        np.frombuffer(x.tobytes(), np.float32),
        read_only,
        array.array("f", x),
    ):
        equal(od.sqrt(operand), np.sqrt(x))
        equal(od.add(operand, x), x + x)
        equal(od.add(1.0, operand), x + 1)
        assert type(od.sqrt(operand)) is np.ndarray
    equal(od.sqrt(array.array("d", double)), np.sqrt(double))
    equal(od.sqrt(memoryview(double.reshape(5, 10))), np.sqrt(double).reshape(5, 10))


def test_out_may_be_a_subclass_and_is_returned_as_it_came(isa):
    out = np.empty(5, np.float32).view(Named)
    assert od.add(np.float32([1, 2, 3, 4, 5]), 1.0, out=out) is out
    equal(np.asarray(out), np.float32([2, 3, 4, 5, 6]))


def test_operands_are_released(isa):
    x, y, out = np.ones(50, np.float32), np.ones(50, np.float32), np.ones(50, np.float32)
    before = [sys.getrefcount(one) for one in (x, y, out)]
    for _ in range(50):
        od.add(x, y)
        od.add(x, y, out=out)
        od.add(x[::2], y[::2], out=out[::2])
        od.add(x, 1.0, out)
        with pytest.raises(od.errors.ShapeError):
            od.add(x, y[:3], out)
        with pytest.raises(od.errors.LayoutError):
            od.add(x[1:], y[1:], x[:-1])
    assert [sys.getrefcount(one) for one in (x, y, out)] == before


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_the_thread_count_changes_no_bit(isa, rng):
    x, y = normal(rng, 300_001), normal(rng, 300_001)
    square = normal(rng, (700, 700))
    results = []
    for count in (1, 2, 3, 8):
        with od.threads.limit(count):
            results.append((od.add(x, y), od.sqrt(x), od.exp(x), od.add(square.T, square[:1]), od.exp(square[:, ::2])))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            equal(one, two)


def test_calls_from_many_python_threads_at_once(isa, threads):
    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            n = int(rng.integers(1, 120_000))
            x, y = normal(rng, n), normal(rng, n)
            equal(od.add(x, y), x + y)
            equal(od.multiply(x[::2], 2.0), x[::2] * 2)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


# ---- errors ----------------------------------------------------------------------------------------------------------


def message(call):
    with pytest.raises(od.errors.OdysseyError) as caught:
        call()
    return f"{type(caught.value).__name__}: {caught.value}"


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda: od.add(np.ones(3, np.int32), X),
            "DTypeError: add: a must be float32 or float64\n"
            "  a: (3,) int32\n"
            "  remedy: a.astype(np.float32), which copies",
        ),
        (
            lambda: od.add(X, np.ones(3)),
            "DTypeError: add: all arrays must have one dtype; expected float32, as the first has\n"
            "  b: (3,) float64\n"
            "  remedy: b.astype(np.float32), which copies",
        ),
        (
            lambda: od.sqrt(X.astype(">f4")),
            "DTypeError: sqrt: x must be in the machine's byte order\n"
            "  x: (2, 3) >f4\n"
            "  remedy: x.astype(x.dtype.newbyteorder('=')), which copies",
        ),
        (
            lambda: od.sqrt([1.0, 2.0]),
            "DTypeError: sqrt: expected an array or any object with a buffer, found list\n"
            "  remedy: np.asarray(x, dtype=np.float32), which copies",
        ),
        (
            lambda: od.add(1.0, 2),
            "DTypeError: add: expected at least one array\n"
            "  found: Python numbers only\n"
            "  remedy: the math module or NumPy serves these",
        ),
        (
            lambda: od.add(X, np.ones(2, np.float32)),
            "ShapeError: add: shapes do not broadcast: sizes 3 and 2 meet on axis -1\n"
            "  a: (2, 3) float32    b: (2,) float32\n"
            "  remedy: to meet axis 0, b.reshape(-1, 1)",
        ),
        (
            lambda: od.add(X, np.ones((5, 3), np.float32)),
            "ShapeError: add: shapes do not broadcast: sizes 2 and 5 meet on axis -2\n"
            "  a: (2, 3) float32    b: (5, 3) float32\n"
            "  remedy: counted from the right, sizes must be equal or 1",
        ),
        (
            lambda: od.clip_backward(X, np.ones(3, np.float32), 0.0, 1.0),
            "ShapeError: clip_backward: grad and x must have one shape\n  grad: (2, 3) float32    x: (3,) float32",
        ),
        (
            lambda: od.add(X, X, out=np.ones((3, 2), np.float32)),
            "ShapeError: add: out must have shape (2, 3)\n  out: (3, 2) float32",
        ),
        (
            lambda: od.add(X, X, out=np.ones((2, 3))),
            "DTypeError: add: out must have dtype float32\n  out: (2, 3) float64",
        ),
        (
            lambda: od.add(X, X, out=np.broadcast_to(np.float32(0), (2, 3))),
            "LayoutError: add: out is read-only\n  out: (2, 3) float32\n  remedy: pass a writable array",
        ),
        (
            lambda: od.add(X, X, out=[0.0]),
            "LayoutError: add: out must be a NumPy array, found list",
        ),
        (
            lambda: od.add(X[:, :-1], X[:, :-1], out=X[:, 1:]),
            "LayoutError: add: out overlaps a in memory, so results would destroy what is still to be read\n"
            "  out: (2, 2) float32    a: (2, 2) float32\n"
            "  remedy: give out memory of its own, or leave out= away",
        ),
    ],
)
def test_errors_say_what_was_expected_what_was_found_and_what_to_do(call, expected):
    assert message(call) == expected


def test_the_remedy_for_shapes_works():
    x, bias = np.ones((4, 6, 5, 5), np.float32), np.arange(6, dtype=np.float32)
    found = message(lambda: od.add(x, bias))
    assert found.endswith("remedy: to meet axis 1, b.reshape(-1, 1, 1)")
    equal(od.add(x, bias.reshape(-1, 1, 1)), x + bias.reshape(-1, 1, 1))


def test_options_must_be_numbers():
    with pytest.raises(TypeError):
        od.scale(X, "2")
    with pytest.raises(TypeError):
        od.clip(X, None, 1.0)


@pytest.mark.parametrize("extra", [17, 100, 511])
def test_a_short_last_piece_of_a_streamed_array_may_be_misaligned(isa: str, extra: int) -> None:
    n = (1 << 23) + extra  # beyond the last-level cache, cut into chunks for three threads
    x = np.ones(n + 1, np.float32)[1:]
    out = np.empty(n + 1, np.float32)[1:]
    with od.threads.limit(3):
        od.add(x, x, out=out)
    assert (out == 2).all()
