"""FixedTensor: a class with a shape, elements in the object, and kernels compiled for the size."""

import gc
import pickle
import sys

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError


def test_brackets_give_one_class_for_a_shape_and_dtype():
    assert od.FixedTensor[3, 3] is od.Kernel3x3 is od.FixedTensor[np.float32, 3, 3]
    assert od.FixedTensor[5, 5] is not od.FixedTensor[7, 7]
    double = od.FixedTensor[np.float64, 3, 3]
    assert (double.shape, double.dtype) == ((3, 3), np.float64)
    assert double.__name__ == "FixedTensor[float64, 3, 3]"
    assert od.FixedTensor[2, 3, 4].shape == (2, 3, 4)
    assert od.StaticBatch[4].shape == (4,)
    assert issubclass(od.StaticBatch[4, 3, 3], od.FixedTensor)
    assert od.StaticBatch[4, 3, 3] is not od.FixedTensor[4, 3, 3]
    assert issubclass(od.Kernel3x3, od.TypedTensor)


@pytest.mark.parametrize("sizes", [(), (0, 3), (-1,), (3, 2.5), (1,) * 9])
def test_sizes_that_make_no_shape_are_errors(sizes):
    with pytest.raises(ShapeError, match="sizes of at least 1"):
        od.FixedTensor[sizes]


def test_what_brackets_do_not_take():
    with pytest.raises(DTypeError, match=r"np.float32 or np.float64"):
        od.FixedTensor[np.int32, 3, 3]
    with pytest.raises(ShapeError, match="at most 65536 bytes"):
        od.FixedTensor[1000, 1000]
    with pytest.raises(TypeError, match="has its shape already"):
        od.Kernel3x3[3, 3]
    with pytest.raises(TypeError, match=r"remedy: FixedTensor\[3, 3\]"):
        od.FixedTensor([1])


@pytest.mark.parametrize("cls", [od.FixedTensor[3, 3], od.FixedTensor[7, 7], od.FixedTensor[np.float64, 2, 3, 4], od.StaticBatch[5]])
def test_elements_lie_in_the_object(cls):
    values = np.arange(np.prod(cls.shape), dtype=cls.dtype).reshape(cls.shape)
    tensor = cls(values)
    start = id(tensor)
    address = tensor.numpy().ctypes.data
    assert start < address
    assert address + tensor.nbytes <= start + cls.__basicsize__
    assert sys.getsizeof(tensor) == cls.__basicsize__
    assert not np.shares_memory(tensor.numpy(), values)
    assert np.array_equal(tensor, values)
    again = pickle.loads(pickle.dumps(tensor))
    assert type(again) is cls
    assert np.array_equal(again, values)


def test_values_are_lists_numbers_arrays_and_zeros_by_default():
    assert od.Kernel3x3().tolist() == [[0.0] * 3] * 3
    assert od.Kernel3x3(2).sum().item() == 18
    assert od.Kernel3x3([[1, 2, 3]] * 3)[1].tolist() == [1, 2, 3]
    assert od.Kernel3x3(od.Kernel3x3(1.0)).sum().item() == 9
    with pytest.raises(ShapeError, match=r"remedy: values.reshape\(\(3, 3\)\)"):
        od.Kernel3x3(range(9))
    with pytest.raises(ShapeError, match=r"expected shape \(3, 3\)"):
        od.Kernel3x3([1, 2])
    with pytest.raises(DTypeError, match=r"values.astype\(np.float32\)"):
        od.Kernel3x3(np.zeros((3, 3)))
    kernel = od.Kernel3x3(1)
    with pytest.raises(TypeError, match="made once"):
        kernel.__init__(2)


def test_objects_and_their_views_live_and_die_in_any_order():
    views = [od.FixedTensor[7, 7](i)[2:] for i in range(50)]
    views += [od.Kernel3x3(i)[1:] for i in range(50)]
    gc.collect()
    [od.FixedTensor[7, 7](-1) for _ in range(100)]
    assert [view[0, 0].item() for view in views] == [*range(50), *range(50)]


def test_what_is_computed_is_a_tensor_of_the_dtype():
    kernel = od.FixedTensor[np.float64, 3, 3](np.eye(3))
    assert type(kernel * 2.0) is od.Float64Tensor
    assert type(od.Kernel3x3(1) @ od.Kernel3x3(1)) is od.Float32Tensor
    assert np.array_equal(od.StaticBatch[2, 3]([[1, 2, 3], [3, 4, 5]]).sum(axis=-1), [6, 12])


def test_sobel_is_a_constant():
    for cls in (od.SobelX, od.SobelY):
        kernel = cls()
        assert isinstance(kernel, od.Kernel3x3)
        assert type(pickle.loads(pickle.dumps(kernel))) is cls
        with pytest.raises(ValueError, match="read-only"):
            kernel[0, 0] = 1
    assert np.array_equal(od.SobelX().T, od.SobelY())


def test_parameters_of_batch_normalisation_are_rows_of_one_tensor():
    params = od.BatchNormParams[3]()
    assert type(params) is od.BatchNormParams[3]
    assert params.shape == (4, 3)
    rows = params.weight, params.bias, params.running_mean, params.running_var
    assert [row.tolist() for row in rows] == [[1] * 3, [0] * 3, [0] * 3, [1] * 3]
    params.bias[...] = 2.5
    assert params[1].tolist() == [2.5] * 3
    again = pickle.loads(pickle.dumps(params))
    assert again.bias.tolist() == [2.5] * 3
    assert od.BatchNormParams[np.float64, 2]().dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize(("channels", "outputs", "groups"), [(1, 1, 1), (3, 1, 1), (1, 6, 1), (4, 4, 4), (4, 6, 2)])
def test_conv2d_with_a_fixed_kernel_has_the_bits_of_the_dynamic_one(dtype, size, channels, outputs, groups, threads):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((outputs, channels // groups, size, size)).astype(dtype)
    fixed = od.FixedTensor[(dtype, *weight.shape)](weight)
    bias = rng.standard_normal(outputs).astype(dtype)
    for shape in ((2, 40), (size, size), (33, 19), (9, 600)):
        x = rng.standard_normal((2, channels, *shape)).astype(dtype)
        for padding in (0, size // 2, (size, 1)):
            options = {"padding": padding, "groups": groups}
            try:
                expected = od.conv2d(x, weight, bias, **options)
            except ShapeError:
                continue
            assert od.conv2d(x, fixed, bias, **options).tobytes() == expected.tobytes()
            out = np.empty_like(expected)
            assert od.conv2d(x, fixed, bias, **options, out=out) is out
            assert out.tobytes() == expected.tobytes()


def test_conv2d_gives_a_fixed_kernel_its_missing_axes_and_goes_the_dynamic_way_otherwise():
    x = np.random.default_rng(2).standard_normal((2, 1, 9, 9)).astype(np.float32)
    kernel = od.Kernel3x3(np.arange(9, dtype=np.float32).reshape(3, 3))
    weight = kernel.numpy()[None, None]
    for options in ({}, {"stride": 2}, {"dilation": 2}, {"activation": "relu"}, {"padding": 1}):
        assert od.conv2d(x, kernel, **options).tobytes() == od.conv2d(x, weight, **options).tobytes()
    bank = od.FixedTensor[2, 4, 4](1.0)
    x = np.repeat(x, 2, axis=1)
    assert np.array_equal(od.conv2d(x, bank), od.conv2d(x, bank.numpy()[None]))
    out = np.empty((2, 1, 6, 12), np.float32)[..., ::2]
    assert np.array_equal(od.conv2d(x, bank, out=out), od.conv2d(x, bank))
    with pytest.raises(DTypeError):
        od.conv2d(x.astype(np.float64), kernel)
