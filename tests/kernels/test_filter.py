"""filter2d: SciPy's borders, the compiled sizes against the loop for any size, gradients, errors."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError
from odyssey.testing.gradcheck import gradcheck

BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")


def numbers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (4, 3), (1, 9), (9, 9)])
def test_results_are_scipys(border, kernel):
    ndimage = pytest.importorskip("scipy.ndimage")
    for shape in ((20, 31), (5, 700), (2, 3), (1, 1)):
        image, weights = numbers(*shape, dtype=np.float64), numbers(*kernel, dtype=np.float64, seed=1)
        expected = ndimage.correlate(image, weights, mode=border, cval=0.75)
        np.testing.assert_allclose(od.filter2d(image, weights, border, 0.75), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fixed_kernel_has_the_bits_of_an_array(dtype, size, isa, threads):
    weights = numbers(size, size, dtype=dtype)
    fixed = od.FixedTensor[dtype, size, size](weights)
    # Around the vectors' lanes, four rows at a time, narrow rows that are copied whole and wide ones that are not.
    for shape in ((1, 1), (3, 7), (4, 16), (5, 33), (9, 70), (70, 19), (8, 1050), (2, 5, 17), (3, 40, 64)):
        image = numbers(*shape, dtype=dtype, seed=1)
        for border in ("reflect", "constant"):
            assert od.filter2d(image, fixed, border, 0.5).tobytes() == od.filter2d(image, weights, border, 0.5).tobytes()


def test_a_fixed_kernel_of_a_size_without_code_is_an_error_and_an_array_is_not():
    image = numbers(9, 9)
    for cls in (od.FixedTensor[4, 4], od.FixedTensor[9, 9], od.FixedTensor[3, 5]):
        with pytest.raises(ShapeError, match=r"\(3, 3\), \(5, 5\) or \(7, 7\).*\n.*\n  remedy: kernel.numpy\(\)"):
            od.filter2d(image, cls(1.0))
        assert od.filter2d(image, cls(1.0).numpy()).shape == (9, 9)
    with pytest.raises(ShapeError, match=r"kernel must be \(kh, kw\)"):
        od.filter2d(image, od.FixedTensor[2, 3, 3](1.0))


def test_sobel_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.float32(np.random.default_rng(0).integers(0, 255, (40, 50)))
    assert np.array_equal(od.filter2d(image, od.SobelX()), ndimage.sobel(image, -1))
    assert np.array_equal(od.filter2d(image, od.SobelY()), ndimage.sobel(image, -2))


def test_planes_of_any_strides_are_filtered_where_they_lie():
    image, kernel = numbers(4, 3, 20, 300), numbers(3, 3)
    expected = od.filter2d(image, kernel)
    for plane in np.ndindex(4, 3):
        assert np.array_equal(expected[plane], od.filter2d(image[plane], kernel))
    assert np.array_equal(od.filter2d(image.transpose(1, 0, 2, 3), kernel), expected.transpose(1, 0, 2, 3))
    assert np.array_equal(od.filter2d(image[::2, 1], kernel), expected[::2, 1])
    repeated = np.broadcast_to(image[:, :1], image.shape)
    assert np.array_equal(od.filter2d(repeated, kernel), od.filter2d(repeated.copy(), kernel))
    wide = numbers(5, 1500)
    assert np.array_equal(od.filter2d(wide[:, ::-1], kernel), od.filter2d(wide[:, ::-1].copy(), kernel))
    assert np.array_equal(od.filter2d(wide[::-1], kernel), od.filter2d(wide[::-1].copy(), kernel))


def test_typed_tensors_are_images_too():
    image = od.Float32Tensor(numbers(6, 7))
    assert np.array_equal(od.filter2d(image, od.Kernel3x3(1.0)), od.filter2d(image.numpy(), np.ones((3, 3), np.float32)))


def test_wrong_arguments_are_errors():
    image, kernel = numbers(6, 7), numbers(3, 3)
    for function in (
        lambda border: od.filter2d(image, kernel, border),
        lambda border: od.filter2d_backward_image(image, kernel, border),
        lambda border: od.filter2d_backward_kernel(image, image, (3, 3), border),
    ):
        with pytest.raises(ValueError, match=r"border must be one of 'constant'.*found 'mirrored'"):
            function("mirrored")
    with pytest.raises(ShapeError, match=r"remedy: image\[np.newaxis\]"):
        od.filter2d(image[0], kernel)
    with pytest.raises(ShapeError, match=r"image must be \(..., H, W\)"):
        od.filter2d(np.float32(1), kernel)
    for wrong in (kernel[0], kernel[None], kernel[:0]):
        with pytest.raises(ShapeError, match=r"kernel must be \(kh, kw\)"):
            od.filter2d(image, wrong)
    with pytest.raises(DTypeError):
        od.filter2d(image, kernel.astype(np.float64))
    with pytest.raises(DTypeError):
        od.filter2d(image.astype(np.int32), kernel)
    with pytest.raises(LayoutError, match="overlaps image"):
        od.filter2d(image, kernel, out=image)
    with pytest.raises(LayoutError, match="overlaps kernel"):
        od.filter2d(kernel.copy(), kernel, out=kernel)
    with pytest.raises(LayoutError, match="overlaps grad"):
        od.filter2d_backward_image(image, kernel, out=image)
    with pytest.raises(ShapeError, match="one shape"):
        od.filter2d_backward_kernel(image, image[1:], (3, 3))
    with pytest.raises(TypeError, match="pair of ints"):
        od.filter2d_backward_kernel(image, image, 3)
    with pytest.raises(ShapeError, match=r"at least \(1, 1\)"):
        od.filter2d_backward_kernel(image, image, (0, 3))


@pytest.mark.parametrize("border", BORDERS)
def test_gradients_flow_to_image_and_kernel_through_the_tape(border):
    image, kernel = (
        od.Tensor(numbers(*shape, dtype=np.float64), requires_grad=True) for shape in ((2, 5, 4), (3, 4))
    )
    gradcheck(lambda image, kernel: od.nn.functional.filter2d(image, kernel, border, 0.5), (image, kernel))


def test_a_constant_image_or_kernel_gets_no_gradient():
    image, kernel = od.Tensor(numbers(5, 4), requires_grad=True), od.Tensor(numbers(3, 3), requires_grad=True)
    od.nn.functional.filter2d(image, kernel.data).sum().backward()
    assert image.grad.shape == (5, 4)
    assert kernel.grad is None
    od.nn.functional.filter2d(image.data, kernel).sum().backward()
    assert kernel.grad.shape == (3, 3)
