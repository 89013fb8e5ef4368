"""odyssey: SIMD kernels over your own NumPy arrays, and the neural networks on top of them."""

from odyssey import isa, threads
from odyssey._kernels.conv import conv2d, conv2d_backward_input, conv2d_backward_weight
from odyssey._kernels.elementwise import add, exp
from odyssey._kernels.linear import linear, matmul
from odyssey._kernels.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_avg_pool2d,
    global_avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)

__all__ = [
    "add",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "exp",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "isa",
    "linear",
    "matmul",
    "max_pool2d",
    "max_pool2d_backward",
    "threads",
]
