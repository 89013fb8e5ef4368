"""Tensor: an ndarray with a tape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from odyssey._kernels.tape import TensorBase, bind, record
from odyssey.errors import DTypeError, ShapeError
from odyssey.tensor import changes, ops
from odyssey.tensor.tape import Array, Leaf, Node, operation_name, run_backward

__all__ = ["Tensor", "add_methods", "record"]

Operand: TypeAlias = "Tensor | Array | float"
Axis: TypeAlias = "int | tuple[int, ...] | None"

_UNIT = {np.dtype(t): np.ones((), t) for t in (np.float32, np.float64)}
for _one in _UNIT.values():
    _one.flags.writeable = False


class Tensor(TensorBase):
    """An n-dimensional array that can be differentiated.

    `data` is an ordinary `numpy.ndarray`; an array given is kept, not copied. Operations on Tensors
    (`odyssey.nn.functional`, and the operators and methods below) are recorded while a gradient is wanted, and
    `loss.backward()` fills in `.grad` of every Tensor made with `requires_grad=True` that `loss` depends on.

    Slices, reshapes and transposes are views: they share memory with the Tensor they are of, as do `detach()`,
    `numpy()`, `memoryview(tensor)`, DLPack and NumPy's array protocols. `x += y`, `x[i] = y` and `copy_` write into it,
    and are told of by the history of both (see `odyssey.nn.functional.add_`).

    Args:
        data: ndarray, another Tensor (its array is shared), a scalar or nested lists. Python floats become float32;
            an array keeps its dtype.
        requires_grad: keep a gradient for this Tensor. Needs float32 or float64.
        dtype: convert to this dtype first.

    Raises:
        DTypeError: a gradient is asked of integers or booleans.

    Example:
        >>> import odyssey as od
        >>> x = od.Tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad.tolist()
        [2.0, 4.0, 6.0]
    """

    __slots__ = ()

    # NumPy must not take a Tensor for an array-like and lose its gradient: `ndarray + Tensor` comes to `__radd__`.
    __array_ufunc__ = None

    def __init__(self, data: Any, requires_grad: bool = False, dtype: DTypeLike | None = None) -> None:
        if isinstance(data, Tensor):
            data = data.data
        if not isinstance(data, np.ndarray):
            given = data
            data = np.asarray(data)
            if data.dtype == np.float64 and not isinstance(given, np.generic):
                data = data.astype(np.float32)  # Python floats, as in PyTorch; NumPy's own types stay
        if dtype is not None:
            data = data.astype(dtype, copy=False)
        self.data = data
        if requires_grad:
            self.requires_grad = True

    # ---- gradient ---------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded. Can be set on Tensors that no operation made."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted == (self.node is not None):
            return
        if isinstance(self.node, Node):
            raise RuntimeError(
                "requires_grad: expected a Tensor made by the user, found the result of an operation; "
                "use .detach() to get one without history"
            )
        if wanted and self.data.dtype not in _UNIT:
            raise DTypeError(
                f"requires_grad: expected float32 or float64, found {self.data.dtype}; "
                "convert the array first, e.g. array.astype(numpy.float32)"
            )
        self.node = Leaf() if wanted else None

    @property
    def grad(self) -> Array | None:
        """The gradient summed by `backward()`, or None. Kept by Tensors that the user made, not by results."""
        node = self.node
        return node.grad if type(node) is Leaf else None

    @grad.setter
    def grad(self, value: Array | None) -> None:
        node = self.node
        if node is None and value is None:
            return
        if type(node) is not Leaf:
            raise RuntimeError(
                "grad: expected a Tensor made with requires_grad=True, found "
                + ("one without" if node is None else "the result of an operation")
            )
        if value is not None and (value.shape != self.data.shape or value.dtype != self.data.dtype):
            raise ShapeError(f"grad: expected {self.data.shape} {self.data.dtype}, found {value.shape} {value.dtype}")
        node.grad = value

    def backward(self, grad: Tensor | Array | None = None, retain_graph: bool = False) -> None:
        """Add the gradient of this Tensor to `.grad` of every Tensor it was computed from.

        The tape is freed on the way: a second `backward()` through the same operations raises RuntimeError.

        Args:
            grad: the gradient with respect to this Tensor, of its shape and dtype. May be left out when this Tensor has
                one element, where it is 1.
            retain_graph: keep the tape, and the memory it holds, for another `backward()`.

        Raises:
            ShapeError: `grad` does not fit, or is needed and missing.
            RuntimeError: nothing was recorded, the tape was used before, or what it saved was overwritten.
        """
        node = self.node
        if node is None:
            raise RuntimeError(
                "backward: expected a Tensor computed from one with requires_grad=True, found none in its history; "
                "was it computed under no_grad()?"
            )
        data = self.data
        if grad is None:
            if data.size != 1:
                raise ShapeError(
                    f"backward: expected a single element, found shape {data.shape}; "
                    "reduce it first (.sum(), .mean()) or pass its gradient: backward(grad)"
                )
            run_backward(node, _UNIT[data.dtype] if data.ndim == 0 else np.ones_like(data), retain_graph)
            return
        array = grad.data if isinstance(grad, Tensor) else np.asarray(grad)
        if array.shape != data.shape or array.dtype != data.dtype:
            raise ShapeError(
                f"backward: expected a gradient {data.shape} {data.dtype}, found {array.shape} {array.dtype}"
            )
        run_backward(node, array, retain_graph)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradient: None, or zeros with `set_to_none=False`.

        Either way its array is used again for the next gradient, unless somebody else still holds it.
        """
        node = self.node
        if type(node) is Leaf:
            if set_to_none:
                node.clear()
            elif node.grad is not None:
                node.grad.fill(0)

    def detach(self) -> Tensor:
        """The same array without history: no gradient flows through it. It shares memory with this Tensor: a write to
        it is seen by a backward that needs what was there."""
        return Tensor(self.data)

    # ---- the array --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    def numpy(self) -> Array:
        """The array itself, not a copy."""
        return self.data

    def item(self) -> Any:
        """The single element as a Python number."""
        return self.data.item()

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.data.__array_interface__

    def __dlpack__(self, **options: Any) -> Any:
        if self.node is not None:
            raise BufferError(
                "__dlpack__: expected a Tensor without a gradient, found one that records it, which another library "
                "could not follow; pass x.detach()"
            )
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy:
            return np.array(self.data, dtype=dtype)
        if dtype is None or self.data.dtype == dtype:
            return self.data
        if copy is False:
            raise ValueError(f"expected no copy, found a conversion from {self.data.dtype} to {np.dtype(dtype)}")
        return self.data.astype(dtype)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data.item())

    def __int__(self) -> int:
        return int(self.data.item())

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix=f"{type(self).__name__}(", threshold=100)
        notes = f", shape={self.data.shape}" if self.data.size > 100 else ""
        if self.data.dtype != np.float32:
            notes += f", dtype={self.data.dtype}"
        if type(self.node) is Leaf:
            notes += ", requires_grad=True"
        elif self.node is not None:
            notes += f", made by {operation_name(self.node)}"
        return f"{type(self).__name__}({body}{notes})"

    # ---- copies -----------------------------------------------------------------------------------------------------

    def __reduce__(self) -> Any:
        """The array, whether a gradient is wanted, and the gradient; `copy.deepcopy` goes this way too."""
        if type(self.node) is Node:
            raise RuntimeError(
                "pickle, deepcopy: expected a Tensor made by the user, found the result of an operation, whose history "
                "cannot be taken along; use .detach()"
            )
        return _restored, (type(self), self.data, self.node is not None, self.grad), getattr(self, "__dict__", None)

    # Comparisons look at the data and give arrays of bool; identity is what hashes.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self.data == _array(other)

    def __ne__(self, other: object) -> Any:
        return self.data != _array(other)

    def __lt__(self, other: Operand) -> Any:
        return self.data < _array(other)

    def __le__(self, other: Operand) -> Any:
        return self.data <= _array(other)

    def __gt__(self, other: Operand) -> Any:
        return self.data > _array(other)

    def __ge__(self, other: Operand) -> Any:
        return self.data >= _array(other)

    # ---- operations on this Tensor and a number, array or Tensor to its left ---------------------------------------

    def __radd__(self, other: Operand) -> Tensor:
        return functional.add(other, self)

    def __rsub__(self, other: Operand) -> Tensor:
        return functional.subtract(other, self)

    def __rmul__(self, other: Operand) -> Tensor:
        return functional.multiply(other, self)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return functional.divide(other, self)

    def __rpow__(self, other: Operand) -> Tensor:
        return functional.power(other, self)

    def __rmatmul__(self, other: Tensor | Array) -> Tensor:
        return functional.matmul(other, self)

    # ---- operations in place ----------------------------------------------------------------------------------------

    def __iadd__(self, other: Operand) -> Self:
        functional.add_(self, other)
        return self

    def __isub__(self, other: Operand) -> Self:
        functional.subtract_(self, other)
        return self

    def __imul__(self, other: Operand) -> Self:
        functional.multiply_(self, other)
        return self

    def __itruediv__(self, other: Operand) -> Self:
        functional.divide_(self, other)
        return self

    def __setitem__(self, index: Any, value: Operand) -> None:
        functional.setitem(self, index, value)

    def copy_(self, other: Operand) -> Self:
        """Take the values of `other`, which broadcasts to this Tensor, in place."""
        functional.copy_(self, other)
        return self

    def fill_(self, value: float) -> Self:
        """Give every element one value, in place."""
        functional.fill_(self, value)
        return self

    def zero_(self) -> Self:
        """Set every element to 0, in place."""
        return self.fill_(0.0)

    # ---- the other operations: each is the function of nn.functional that METHODS names ---------------------------

    @property
    def T(self) -> Tensor:
        """The axes reversed."""
        return functional.transpose(self)

    if TYPE_CHECKING:

        def __add__(self, other: Operand) -> Tensor: ...
        def __sub__(self, other: Operand) -> Tensor: ...
        def __mul__(self, other: Operand) -> Tensor: ...
        def __truediv__(self, other: Operand) -> Tensor: ...
        def __pow__(self, other: Operand) -> Tensor: ...
        def __matmul__(self, other: Tensor | Array) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def clone(self) -> Tensor: ...
        def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: int | Sequence[int]) -> Tensor: ...
        def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor: ...
        def transpose(self, *axes: int | Sequence[int]) -> Tensor: ...
        def permute(self, *axes: int | Sequence[int]) -> Tensor: ...
        def swapaxes(self, axis1: int, axis2: int) -> Tensor: ...
        def squeeze(self, axis: Axis = None) -> Tensor: ...
        def unsqueeze(self, axis: int | tuple[int, ...]) -> Tensor: ...
        def broadcast_to(self, shape: Sequence[int]) -> Tensor: ...
        def split(self, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]: ...


METHODS = {
    "__add__": "add",
    "__sub__": "subtract",
    "__mul__": "multiply",
    "__truediv__": "divide",
    "__pow__": "power",
    "__matmul__": "matmul",
    "__neg__": "negative",
    "__getitem__": "getitem",
    "permute": "transpose",
    "unsqueeze": "expand_dims",
    **{
        name: name
        for name in (
            "broadcast_to", "clone", "flatten", "max", "mean", "min", "reshape", "split", "squeeze", "sum", "swapaxes",
            "transpose", "var",
        )
    },
}  # fmt: skip
"""Methods of Tensor that are functions of nn.functional: the functions themselves, with no frame in between."""


def add_methods(functions: Mapping[str, Any]) -> None:
    """Give Tensor the methods that METHODS names; `nn.functional` calls this when its functions are there."""
    for method, function in METHODS.items():
        setattr(Tensor, method, functions[function])


def _array(value: object) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _restored(kind: type[Tensor], data: Array, requires_grad: bool, grad: Array | None) -> Tensor:
    tensor = kind.__new__(kind)
    tensor.data = data
    if requires_grad:
        tensor.requires_grad = True
        tensor.grad = grad
    return tensor


# The operators above are nn.functional's, which in turn makes Tensors: the one knot in the imports, tied here at the
# end, where both halves exist.
from odyssey.nn import functional  # noqa: E402

bind(Tensor, ops, changes.check_saved, lambda base, view: functional.in_place.view_edge(base, view))
