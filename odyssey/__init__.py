"""odyssey: SIMD kernels over your own NumPy arrays, and the neural networks on top of them."""

from odyssey import isa, threads
from odyssey._kernels.conv import conv2d, conv2d_backward_input, conv2d_backward_weight
from odyssey._kernels.elementwise import add, exp
from odyssey._kernels.linear import linear, matmul

__all__ = [
    "add",
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "exp",
    "isa",
    "linear",
    "matmul",
    "threads",
]
