"""grouped_matmul: the bits of each group's product alone, in every form, and what is refused."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError

ml_dtypes = pytest.importorskip("ml_dtypes")
RNG = np.random.default_rng(11)
SIZES = (3, 0, 17, 1, 64)
ENDS = np.cumsum(SIZES)
TOTAL = int(ENDS[-1])


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def groups():
    return [slice(end - size, end) for end, size in zip(ENDS, SIZES, strict=True)]


@pytest.mark.parametrize("isa", od.isa.available())
@pytest.mark.parametrize("threads", [1, 2])
def test_a_group_has_the_bits_of_its_rows_alone(isa, threads):
    a, b = drawn(TOTAL, 70), drawn(len(SIZES), 70, 130)
    with od.isa.use(isa), od.threads.limit(threads):
        whole = od.grouped_matmul(a, b, ENDS)
        for matrix, group in zip(b, groups(), strict=True):
            assert whole[group].tobytes() == od.matmul(a[group], matrix).tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_other_forms_have_the_bits_of_products_alone(threads):
    a, b, c = drawn(33, TOTAL), drawn(TOTAL, 70), drawn(len(SIZES), 40, 33)
    with od.threads.limit(threads):
        inner, columns = od.grouped_matmul(a, b, ENDS), od.grouped_matmul(c, a, ENDS)
        for g, group in enumerate(groups()):
            assert inner[g].tobytes() == od.matmul(a[:, group], b[group]).tobytes()
            assert columns[:, group].tobytes() == od.matmul(c[g], a[:, group]).tobytes()
    assert not inner[1].any()


@pytest.mark.parametrize("stored", ["bfloat16", "float16", "packed bfloat16", "packed int8"])
def test_stored_weights_give_the_bits_of_linear(stored):
    weights = [drawn(130, 70) for _ in SIZES]
    if stored.startswith("packed"):
        kept = given = [od.pack(weight, stored.split()[1]) for weight in weights]
    else:
        kept = [weight.astype(getattr(ml_dtypes, stored, np.float16)) for weight in weights]
        given = [weight.T for weight in kept]
    a = drawn(TOTAL, 70)
    for precision in ("exact", "native"):
        found = od.grouped_matmul(a, given, ENDS, precision=precision)
        for weight, group in zip(kept, groups(), strict=True):
            assert found[group].tobytes() == od.linear(a[group], weight, precision=precision).tobytes()


def test_narrow_matrices_in_one_array_are_read_where_they_lie_or_copied():
    weights = drawn(len(SIZES), 20, 30).astype(ml_dtypes.bfloat16)
    a = drawn(TOTAL, 30)
    wanted = od.grouped_matmul(a, weights.astype(np.float32).swapaxes(1, 2), ENDS)
    lying = weights.swapaxes(1, 2)
    for b in (lying, np.ascontiguousarray(lying), lying[::-1][::-1], list(lying)):
        assert od.grouped_matmul(a, b, ENDS).tobytes() == wanted.tobytes()


def test_out_may_lie_anywhere_but_in_an_input():
    a, b = drawn(TOTAL, 7), drawn(len(SIZES), 7, 9)
    wanted = od.grouped_matmul(a, b, ENDS)
    out = np.zeros((TOTAL, 18), np.float32)
    for view in (out[:, :9], out[:, ::2], np.zeros((9, TOTAL), np.float32).T):
        assert od.grouped_matmul(a, b, ENDS, view) is view
        assert view.tobytes() == wanted.tobytes()
    square = drawn(TOTAL, TOTAL)
    with pytest.raises(LayoutError, match="overlaps a"):
        od.grouped_matmul(square, drawn(len(SIZES), TOTAL, TOTAL), ENDS, square)
    whole = drawn(2, 4, 4)
    with pytest.raises(LayoutError, match="overlaps b"):
        od.grouped_matmul(drawn(4, 4), whole, np.array([2, 4]), whole[0])


def test_offsets_may_be_any_integers_and_no_group_may_be_left_over():
    a, b = drawn(4, 2), drawn(2, 2, 3)
    wanted = od.grouped_matmul(a, b, np.array([1, 4]))
    for dtype in (np.int32, np.uint8):
        assert od.grouped_matmul(a, b, np.array([1, 4], dtype)).tobytes() == wanted.tobytes()
    assert od.grouped_matmul(a[:0], b[:0], np.zeros(0, np.int64)).shape == (0, 3)
    assert od.grouped_matmul(drawn(2, 0), drawn(0, 3), np.zeros(0, np.int64)).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("offsets", "error", "message"),
    [
        ([3, 1], ValueError, r"group 1 ends at 1, before it begins at 3"),
        ([-1, 4], ValueError, r"group 0 ends at -1"),
        ([1, 5], ValueError, r"group 1 ends at 5, behind the last of 4"),
        ([1, 3], ValueError, r"(?s)sizes of groups: np\.cumsum\(offsets\) fits"),
        ([1, 2], ValueError, r"(?s)ends at 2, and there are 4.*remedy"),
        ([4], ShapeError, r"shape \(2,\)"),
        ([[1, 4]], ShapeError, r"shape \(2,\)"),
        ([1.0, 4.0], DTypeError, "int64"),
    ],
)
def test_wrong_offsets_say_what_is_wrong(offsets, error, message):
    for ops in (od, od.reference):
        with pytest.raises(error, match=message if ops is od else None):
            ops.grouped_matmul(drawn(4, 2), drawn(2, 2, 3), np.array(offsets))


def test_wrong_matrices_say_what_is_wrong():
    a, ends = drawn(4, 2), np.array([1, 4])
    narrow = drawn(2, 2, 3).astype(np.float16)
    packed = od.pack(drawn(3, 2))
    for b, error, message in (
        (drawn(2, 3, 3), ShapeError, "columns"),
        ([drawn(2, 3), drawn(2, 4)], ShapeError, "one shape"),
        ([drawn(2, 3), drawn(3)], ShapeError, r"\(K, N\)"),
        ([], ShapeError, "empty"),
        (packed, ShapeError, "each group"),
        (drawn(2, 2, 3).astype(np.float64), DTypeError, "dtype"),
        ([drawn(2, 3), drawn(2, 3).astype(np.int32)], DTypeError, "float32"),
        (drawn(2), ShapeError, "each group"),
        ([od.pack(drawn(3, 5))] * 2, ShapeError, "columns"),
    ):
        for ops in (od, od.reference):
            with pytest.raises(error, match=message if ops is od else None):
                ops.grouped_matmul(a, b, ends)
    for b in (narrow, [packed] * 2):
        with pytest.raises(DTypeError, match="float32 x"):
            od.grouped_matmul(a.astype(np.float64), b, ends)
    with pytest.raises(ShapeError, match="rows"):
        od.grouped_matmul(drawn(2, 3), drawn(4, 2), np.array([1, 3]))
    with pytest.raises(ShapeError, match="rows"):
        od.grouped_matmul(drawn(0, 3), np.zeros((0, 2, 2), np.float32), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="precision"):
        od.grouped_matmul(a, drawn(2, 2, 3), ends, precision="fast")


@pytest.mark.parametrize("kind", ["array", "list", "bfloat16", "packed"])
def test_stored_matrices_pass_a_gradient_to_the_rows(kind):
    a, weights, ends = od.Tensor(drawn(5, 6), requires_grad=True), drawn(3, 7, 6), np.array([2, 2, 5])
    narrow = weights.astype(ml_dtypes.bfloat16)
    b = {
        "array": narrow.swapaxes(1, 2),
        "list": list(weights.swapaxes(1, 2)),
        "bfloat16": [weight.T for weight in narrow],
        "packed": [od.pack(weight, "bfloat16") for weight in narrow],
    }[kind]
    exact = (weights if kind == "list" else narrow.astype(np.float32)).swapaxes(1, 2)
    grad = drawn(5, 7)
    od.nn.functional.grouped_matmul(a, b, ends).backward(grad)
    np.testing.assert_allclose(
        a.grad, od.reference.grouped_matmul(grad, exact.swapaxes(1, 2), ends), rtol=1e-5, atol=1e-6
    )


def test_the_gradient_of_transposed_weights_lies_as_they_do():
    weights = od.Tensor(drawn(2, 4, 3), requires_grad=True)
    a = od.Tensor(drawn(5, 3), requires_grad=True)
    od.nn.functional.grouped_matmul(a, weights.swapaxes(1, 2), np.array([2, 5])).sum().backward()
    assert weights.grad.flags.c_contiguous
    np.testing.assert_allclose(weights.grad[0], np.tile(a.data[:2].sum(0), (4, 1)), rtol=1e-5)
