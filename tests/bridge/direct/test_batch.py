"""Batched calls: the bits of the single ones, in one crossing."""

import numpy as np
import pytest

import odyssey as od
from odyssey.bridge.direct import NativeLibrary, Status, batched, prepare
from odyssey.bridge.direct.batch import _OPS
from odyssey.errors import DTypeError, ShapeError

OPTIONS = {
    "scale": {"alpha": 0.3}, "axpy": {"alpha": 0.3}, "clip": {"low": -0.5, "high": 0.5}, "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 0.7}, "softplus": {"beta": 2.0, "threshold": 3.0}, "var": {"ddof": 1}, "rms_norm": {"eps": 1e-3},
}  # fmt: skip


def arrays(real, count=60):
    rng = np.random.default_rng(1)
    lengths = [1, 2, 15, 16, 17, 33, *rng.integers(2, 200, count)]
    made = [rng.standard_normal(int(n)).astype(real) for n in lengths]
    return [*made, rng.standard_normal((3, 5)).astype(real), rng.standard_normal((2, 3, 4)).astype(real)]


@pytest.mark.parametrize("real", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", sorted(_OPS))
def test_every_operation_has_the_bits_of_single_calls(name, real, threads):
    op = getattr(od, name)
    options = OPTIONS.get(name, {})
    given = arrays(real)
    if name == "dot":
        given = [one for one in given if one.ndim == 1]
    inputs = _OPS[name].inputs
    items = given if inputs == 1 else [tuple([one] * inputs) for one in given]
    found = batched(op, items, **options, parallel=True)
    for item, one in zip(given, found, strict=True):
        operands = [item] * inputs
        expected = op(options["alpha"], *operands) if name == "axpy" else op(*operands, **options)
        assert np.asarray(one).tobytes() == np.asarray(expected).tobytes()
        assert type(one) is type(expected)
        assert one.dtype == expected.dtype
        assert np.shape(one) == np.shape(expected)


def test_results_go_into_out_and_may_go_in_place():
    given = arrays(np.float32, 10)
    out = [np.empty_like(one) for one in given]
    found = batched(od.exp, given, out=out)
    assert all(one is other for one, other in zip(found, out, strict=True))
    copies = [one.copy() for one in given]
    batched(od.exp, copies, out=copies)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(copies, out, strict=True))
    total = [np.zeros((), np.float32)]
    assert batched(od.sum, [np.float32([1, 2])], out=total) == [3]
    assert total[0] == 3


def test_what_is_prepared_runs_again_over_new_contents():
    x, out = np.zeros(5, np.float32), np.empty(5, np.float32)
    run = prepare(od.exp, [x], out=[out])
    assert len(run) == 1
    run()
    assert out.tolist() == [1] * 5
    x[:] = np.float32(np.log(2))
    assert run()[0] is out
    assert out.tolist() == od.exp(x).tolist()


def test_weights_serve_all_calls():
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((rows, 6), np.float32) for rows in (1, 4, 9)]
    weight, bias = rng.standard_normal(6, np.float32), rng.standard_normal(6, np.float32)
    found = batched(od.layer_norm, given, weight=weight, bias=bias)
    for one, x in zip(found, given, strict=True):
        assert one.tobytes() == od.layer_norm(x, weight, bias).tobytes()
    with pytest.raises(ShapeError, match="call 1: expected weight to be as long"):
        batched(od.rms_norm, [given[0], np.zeros((2, 7), np.float32)], weight=weight)
    with pytest.raises(DTypeError, match="weight"):
        batched(od.rms_norm, given, weight=weight.astype(float))


def test_anything_with_a_buffer_and_any_layout_is_taken():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = batched(od.softmax, [memoryview(x), x.T, x[:, ::2]])
    assert [one.tobytes() for one in found] == [
        od.softmax(np.ascontiguousarray(one)).tobytes() for one in (x, x.T, x[:, ::2])
    ]
    assert batched(od.exp, [np.float32(0)[...]])[0] == 1
    assert batched(od.exp, []) == []
    assert batched(od.softmax, [np.empty((0, 3), np.float32)])[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: batched(od.matmul, [x]), TypeError, "expected a function of NativeLibrary, or one of odyssey"),
        (lambda x: batched(np.exp, [x]), TypeError, "found <ufunc"),
        (lambda x: batched(od.add, [x]), ShapeError, "call 0: expected 2 arrays"),
        (lambda x: batched(od.add, [(x, x), (x, x[:2])]), ShapeError, "call 1: expected arrays of one shape"),
        (lambda x: batched(od.exp, [x, x.astype(float)]), DTypeError, "call 1: expected float32"),
        (lambda x: batched(od.exp, [x.astype(np.int64)]), DTypeError, "found int64"),
        (lambda x: batched(od.exp, [x, 3]), DTypeError, "call 1: expected an array"),
        (lambda x: batched(od.softmax, [x], axis=0), TypeError, "last axis"),
        (lambda x: batched(od.sum, [x], axis=0), TypeError, "all elements"),
        (lambda x: batched(od.exp, [x], alpha=2), TypeError, "no option alpha"),
        (lambda x: batched(od.scale, [x]), TypeError, "needs the option alpha"),
        (lambda x: batched(od.exp, [x], out=[]), ShapeError, "each of the 1 calls"),
        (lambda x: batched(od.exp, [x], out=[x[:2].copy()]), ShapeError, "result's shape"),
        (lambda x: batched(od.exp, [x], out=[x.astype(float)]), ShapeError, "result's dtype"),
        (lambda x: batched(od.exp, [x[1:]], out=[x[:-1]]), ShapeError, "overlap"),
        (lambda x: batched(od.max, [x, x[:0]]), ShapeError, "invalid dimension"),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_the_call(call, error, said):
    with pytest.raises(error, match=said):
        call(np.arange(4, dtype=np.float32))


def test_a_bad_status_says_in_which_call():
    with pytest.raises(ShapeError) as caught:
        batched(od.max, [np.float32([1]), np.empty(0, np.float32)])
    assert caught.value.__notes__ == ["in call 1 of 2, counted from 0"]


DECLARATIONS = """
typedef int status;
status scale(size_t n, const float x[n], float by, float out[n]);
double sum(const double x[n], size_t n);
void fill(void *x, int byte, size_t n);
int apply(int (*f)(int), int x);
int is_null(const float *_Nullable x);
"""


@pytest.fixture(scope="module")
def lib(library_file):
    return NativeLibrary(library_file, DECLARATIONS, status={"status": {0: Status.SUCCESS, 3: Status.INVALID_VALUE}})


@pytest.mark.parametrize("parallel", [None, True])
def test_a_librarys_function_is_called_once_for_each_tuple(lib, parallel):
    given = [np.arange(n, dtype=np.float64) for n in range(50)]
    assert batched(lib.sum, [(x, x.size) for x in given], parallel=parallel) == [x.sum() for x in given]
    out = [np.empty(4, np.float32) for _ in range(9)]
    x = np.arange(4, dtype=np.float32)
    assert batched(lib.scale, [(4, x, float(i + 1), out[i]) for i in range(9)], parallel=parallel) == [None] * 9
    assert [one[3] for one in out] == [3 * (i + 1) for i in range(9)]
    assert batched(lib.is_null, [x, None]) == [0, 1]
    target = bytearray(4)
    assert batched(lib.fill, [(target, 9, 4)]) == [None]
    assert target == bytes([9] * 4)
    with pytest.raises(ShapeError, match="x must have at least 5"):
        batched(lib.scale, [(4, x, 1.0, out[0]), (5, x, 1.0, out[0])])
    with pytest.raises(TypeError, match="expected 4 arguments"):
        batched(lib.scale, [(4, x)])
    with pytest.raises(ValueError, match="status 3") as caught:
        batched(lib.scale, [(4, x, 1.0, out[0]), (4, x, 0.0, out[1]), (4, x, 1.0, out[2])])
    assert caught.value.__notes__ == ["in call 1 of 3, counted from 0"]
    with pytest.raises(TypeError, match=r"in `calls`, found out"):
        batched(lib.sum, [], out=[])
    with pytest.raises(TypeError, match="one by one"):
        batched(lib.apply, [])
