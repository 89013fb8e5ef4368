"""Tensors: NumPy arrays that remember how they came to be, and so can be differentiated.

`tape.py` is the record and the walk back over it (compiled, in `odyssey/_kernels/tape.pyx`), `tensor.py` the class that
users hold, `gradient.py` gradients by name and of gradients, `changes.py` what is written in place, `ops.py` the
operations that all run on. The differentiable operations themselves are in `odyssey.nn.functional`.
"""

from odyssey.tensor.ops import use_reference
from odyssey.tensor.tape import enable_grad, is_grad_enabled, no_grad
from odyssey.tensor.tensor import Tensor, record

from odyssey.tensor.gradient import grad  # isort: skip

__all__ = ["Tensor", "enable_grad", "grad", "is_grad_enabled", "no_grad", "record", "use_reference"]
