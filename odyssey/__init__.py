"""odyssey: SIMD kernels over your own NumPy arrays, and the neural networks on top of them."""

from odyssey import isa, threads
from odyssey._kernels.elementwise import add, exp
from odyssey._kernels.linear import linear, matmul

__all__ = ["add", "exp", "isa", "linear", "matmul", "threads"]
