"""pack: what is stored, what products of it give, and what is refused."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError
from odyssey.packing import pack_side_by_side

RNG = np.random.default_rng(7)
WEIGHT = RNG.standard_normal((70, 33)).astype(np.float32)
STORED = ("float32", "bfloat16", "float16", "int8")


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("isa", od.isa.available())
def test_a_row_has_the_same_bits_in_every_batch(isa, dtype):
    packed = od.pack(WEIGHT, dtype)
    x, bias = RNG.standard_normal((40, 33)).astype(np.float32), RNG.standard_normal(70).astype(np.float32)
    with od.isa.use(isa):
        whole = od.linear(x, packed, bias, "silu")
        for count in (1, 2, 7, 16, 17):
            assert od.linear(x[:count], packed, bias, "silu").tobytes() == whole[:count].tobytes()


def test_float32_weights_give_the_bits_of_the_array_itself():
    x, bias = RNG.standard_normal((5, 33)).astype(np.float32), RNG.standard_normal(70).astype(np.float32)
    assert od.linear(x, od.pack(WEIGHT), bias).tobytes() == od.linear(x, WEIGHT, bias).tobytes()


def test_bfloat16_weights_give_the_bits_of_the_widened_array():
    x, packed = RNG.standard_normal((5, 33)).astype(np.float32), od.pack(WEIGHT, "bfloat16")
    assert od.linear(x, packed).tobytes() == od.linear(x, packed.unpack()).tobytes()


def test_an_array_of_bfloat16_is_taken_as_it_is():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    narrow = WEIGHT.astype(ml_dtypes.bfloat16)
    for weight in (narrow, narrow[::-1, ::2]):
        packed = od.pack(weight)
        assert packed.dtype == "bfloat16"
        assert np.array_equal(packed.unpack(), weight.astype(np.float32))


def test_rounding_is_to_nearest_even_and_nan_stays():
    values = np.float32([[1 + 2**-8, 1 + 3 * 2**-8, np.nan, np.inf, 3.4e38, 1e-40]])
    found = od.pack(values, "bfloat16").unpack()
    assert found[0, 0] == 1
    assert found[0, 1] == 1 + 2**-6
    assert np.isnan(found[0, 2])
    assert np.isposinf(found[0, 3:5]).all()
    np.testing.assert_array_equal(found, np.asarray(od.reference.pack(values, "bfloat16")))


def test_int8_takes_a_quarter_of_the_memory():
    packed = od.pack(np.ones((128, 256), np.float32), "int8")
    assert packed.nbytes == 128 * 256 + 128 * 4
    assert np.array_equal(packed.unpack(), np.float32(127) * np.float32(1 / 127) * np.ones((128, 256), np.float32))


@pytest.mark.parametrize("dtype", STORED)
def test_packed_side_by_side_they_are_what_they_are_alone(dtype):
    weights = [WEIGHT, -WEIGHT, 2 * WEIGHT]
    for count in (3, 2, 4):  # one too few gets memory of its own, one too many stays empty
        found = list(pack_side_by_side(weights, count, dtype))
        for one, weight in zip(found, weights, strict=True):
            alone = od.pack(weight, dtype)
            assert one.panels.tobytes() == alone.panels.tobytes()
            assert (one.shape, one.panels.shape) == (alone.shape, alone.panels.shape)
            assert one.panels.ctypes.data % 64 == 0
            assert not one.panels.flags.writeable
        size = -(-found[0].panels.nbytes // 64) * 64
        assert found[1].panels.ctypes.data - found[0].panels.ctypes.data == size


def test_large_blocks_begin_at_a_huge_page():
    first, _ = pack_side_by_side([np.zeros((64, 1 << 18), np.float16)] * 2, 2)
    assert first.panels.ctypes.data % (2 << 20) == 0
    assert od.pack(np.zeros((64, 1 << 18), np.float16)).panels.ctypes.data % (2 << 20) == 0


def test_native_products_are_near_the_exact_ones():
    x, packed = RNG.standard_normal((130, 33)).astype(np.float32), od.pack(WEIGHT, "bfloat16")
    exact, native = od.linear(x, packed, None, "relu"), od.linear(x, packed, None, "relu", precision="native")
    assert np.abs(native - exact).max() <= 2**-8 * (np.abs(x) @ np.abs(packed.unpack()).T).max()


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(DTypeError, match="cannot be stored as int8"):
        od.pack(WEIGHT.astype(np.float64), "int8")
    with pytest.raises(DTypeError, match="must be float32"):
        od.pack(WEIGHT.astype(np.int32))
    with pytest.raises(ShapeError, match=r"\(out, in\)"):
        od.pack(WEIGHT[0])
    with pytest.raises(ValueError, match="dtype must be one of"):
        od.pack(WEIGHT, "int4")
    with pytest.raises(ValueError, match="finite"):
        od.pack(np.float32([[1, np.inf]]), "int8")
    with pytest.raises(DTypeError, match="need a float32 x"):
        od.linear(np.ones(33), od.pack(WEIGHT, "int8"))
    with pytest.raises(ShapeError, match="x must be"):
        od.linear(np.ones(32, np.float32), od.pack(WEIGHT))
    with pytest.raises(ValueError, match="precision"):
        od.linear(np.ones(33, np.float32), od.pack(WEIGHT), precision="fast")


def test_a_packed_weight_becomes_an_array_by_a_copy_alone():
    packed = od.pack(np.float32([[1, 2], [3, 4]]), "bfloat16")
    with pytest.raises(ValueError, match="by a copy only"):
        packed.__array__(copy=False)
    assert np.asarray(packed, np.float64).dtype == np.float64
    assert packed.unpack().dtype == np.float32


def test_what_only_speaks_dlpack_can_be_packed_and_bfloat16_is_known_by_its_name():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weight = np.float32([[1, 2], [3, 4]])

    class Exporter:
        def __dlpack__(self, **kwargs):
            return weight.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return weight.__dlpack_device__()

    np.testing.assert_array_equal(od.pack(Exporter()).unpack(), weight)
    for dtype in ("float32", "bfloat16"):
        np.testing.assert_array_equal(od.pack(weight.astype(ml_dtypes.bfloat16), dtype).unpack(), weight)


@pytest.mark.parametrize("isa", od.isa.available())
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_rows_as_they_lie_give_the_bits_of_the_widened_array(isa, name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    whole = RNG.standard_normal((80, 150)).astype(getattr(ml_dtypes, name, np.float16))
    for weight in (whole, whole[:70, 3:103], whole[::-2, :33], whole[3:4, 1:2], whole[:, ::2], whole[:0], whole[:, :0]):
        x, bias = (
            RNG.standard_normal((70, weight.shape[1])).astype(np.float32),
            RNG.standard_normal(len(weight)).astype(np.float32),
        )
        with od.isa.use(isa):
            wanted = od.linear(x, weight.astype(np.float32), bias, "relu")
            for count in (1, 2, 3, 8, 17, 49, 70):
                assert od.linear(x[:count], weight, bias, "relu").tobytes() == wanted[:count].tobytes()


def test_native_rows_are_near_the_exact_ones_and_packed_or_not_the_same():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for inputs, outputs, count in ((33, 70, 130), (1, 1, 1), (1000, 64, 3), (769, 130, 64), (0, 5, 2)):
        weight = RNG.standard_normal((outputs, inputs)).astype(ml_dtypes.bfloat16)
        x = RNG.standard_normal((2 * count, inputs)).astype(np.float32)[::2]
        bias = RNG.standard_normal(outputs).astype(np.float32)
        native = od.linear(x, weight, bias, "relu", precision="native")
        assert native.tobytes() == od.linear(x, od.pack(weight), bias, "relu", precision="native").tobytes()
        exact, size = od.linear(x, weight, bias, "relu"), np.abs(x) @ np.abs(weight.astype(np.float32)).T
        assert (np.abs(native - exact) <= 2**-8 * size + 1e-6).all()


def test_narrow_rows_need_a_float32_x():
    with pytest.raises(DTypeError, match="float32 x"):
        od.linear(np.ones(3), np.ones((2, 3), np.float16))
    with pytest.raises(DTypeError, match="must be float32"):
        od.linear(np.ones(3, np.float32), np.ones((2, 3), ">f2"))
    with pytest.raises(ShapeError, match="x must be"):
        od.linear(np.ones(3, np.float32), np.ones((3, 2), np.float16))


def test_panels_are_filled_from_every_kind_of_rows_as_by_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = RNG.standard_normal((131, 193)).astype(np.float32) * np.float32(2) ** RNG.integers(-30, 15, (131, 1))
    values[3] = 0
    values[4, :5] = [1e-40, -1e-45, 0.0, -0.0, 6e-8]
    for kind in (np.float32, np.float16, ml_dtypes.bfloat16):
        weight = values.astype(kind)
        for view in (weight, weight[:, 1:], weight[::-1, ::2], weight[:64, :64], weight[:1, :1]):
            wide = view.astype(np.float32)
            narrow = od.pack(view, "bfloat16").unpack()
            np.testing.assert_array_equal(narrow, wide.astype(ml_dtypes.bfloat16).astype(np.float32))
            numbers, scale = od.pack(view, "int8").parts()
            np.testing.assert_array_equal(scale, np.abs(wide).max(1) / np.float32(127))
            divisor = np.where(scale > 0, scale, 1)[:, None]
            np.testing.assert_array_equal(numbers, np.clip(np.rint(wide / divisor), -127, 127))


def test_the_first_row_that_int8_cannot_hold_is_named_whatever_the_threads():
    weight = np.ones((300, 20), np.float32)
    weight[[130, 70, 71], 3] = np.inf, np.nan, -np.inf
    for threads in (1, 2):
        with od.threads.limit(threads), pytest.raises(ValueError, match="row 70 holds NaN"):
            od.pack(weight, "int8")
    special = od.pack(np.float16([[np.nan, np.inf, -np.inf]]), "bfloat16").unpack()
    np.testing.assert_array_equal(special, np.float32([[np.nan, np.inf, -np.inf]]))


@pytest.mark.parametrize("shape", [(1, 1), (64, 128), (70, 33), (130, 769), (3, 0)])
def test_native_int8_rounds_x_and_nothing_else(shape):
    outputs, inputs = shape
    weight = od.pack(RNG.standard_normal(shape).astype(np.float32), "int8")
    bias = RNG.standard_normal(outputs).astype(np.float32)
    x = RNG.standard_normal((9, inputs)).astype(np.float32) * np.float32([[1], [1e-30], [1e30]] * 3)
    exact = od.linear(x, weight, bias, "relu")
    size = np.abs(x).max(1, initial=0)[:, None] / 254 * np.abs(weight.unpack()).sum(1)
    for strided in (x, np.asfortranarray(x)):
        native = od.linear(strided, weight, bias, "relu", precision="native")
        assert (np.abs(native - exact) <= 1.01 * size + 1e-5 * np.abs(exact) + 1e-6).all()
    for count in (1, 2, 3, 5):
        np.testing.assert_array_equal(od.linear(x[:count], weight, bias, "relu", precision="native"), native[:count])


def test_native_int8_keeps_nan_and_infinity_from_hiding():
    weight = od.pack(RNG.standard_normal((5, 200)).astype(np.float32), "int8")
    for bad in (np.nan, np.inf):
        x = np.ones((2, 200), np.float32)
        x[1, 150] = bad
        found = od.linear(x, weight, precision="native")
        assert np.isfinite(found[0]).all()
        assert not np.isfinite(found[1]).any()
