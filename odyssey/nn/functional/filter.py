"""Filters of images, with gradients for the image and for the kernel."""

from __future__ import annotations

from odyssey.nn.functional._arguments import TensorLike, operand
from odyssey.tensor import ops
from odyssey.tensor.tape import Array, Gradients, Node
from odyssey.tensor.tensor import Tensor, record


def filter2d(image: TensorLike, kernel: TensorLike, border: str = "reflect", cval: float = 0.0) -> Tensor:
    """Each plane of image, (..., H, W), correlated with kernel, (kh, kw), as `odyssey.filter2d`."""
    image_data, image_edge = operand(image)
    kernel_data, kernel_edge = operand(kernel)
    y = ops.filter2d(image_data, kernel_data, border, cval)
    return record(y, _filter2d_backward, (image_edge, kernel_edge), (image_data, kernel_data, border, cval))


def _filter2d_backward(grad: Array, node: Node) -> Gradients:
    to_image, to_kernel = node.inputs
    image, kernel, border, cval = node.saved
    by_image = by_kernel = None
    if to_image is not None:
        by_image = ops.filter2d_backward_image(grad, kernel, border, to_image.out())
    if to_kernel is not None:
        by_kernel = ops.filter2d_backward_kernel(grad, image, kernel.shape, border, cval, to_kernel.out())
    return by_image, by_kernel
