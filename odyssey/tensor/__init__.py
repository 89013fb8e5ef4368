"""Tensors: NumPy arrays that remember how they came to be, and so can be differentiated.

`tape.py` is the record and the walk back over it (compiled, in `odyssey/_kernels/tape.pyx`), `tensor.py` the class that
users hold, `gradient.py` gradients by name and of gradients, `changes.py` what is written in place, `ops.py` the
operations that all run on. The differentiable operations themselves are in `odyssey.nn.functional`.

Beside them stand tensors without a tape, for operations on few elements: `TypedTensor`, whose class knows the dtype,
and `FixedTensor`, whose class knows the shape too (`_kernels/typed.pyx`); `fixed.py` names some of these.
"""

from odyssey._kernels.typed import FixedTensor, Float32Tensor, Float64Tensor, StaticBatch, TypedTensor
from odyssey.tensor.fixed import BatchNormParams, Kernel3x3, SobelX, SobelY
from odyssey.tensor.ops import use_reference
from odyssey.tensor.tape import enable_grad, is_grad_enabled, no_grad
from odyssey.tensor.tensor import Tensor, record

from odyssey.tensor.gradient import grad  # isort: skip

__all__ = [
    "BatchNormParams",
    "FixedTensor",
    "Float32Tensor",
    "Float64Tensor",
    "Kernel3x3",
    "SobelX",
    "SobelY",
    "StaticBatch",
    "Tensor",
    "TypedTensor",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "record",
    "use_reference",
]
