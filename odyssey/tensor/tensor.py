"""Tensor: an ndarray with a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from odyssey.errors import DTypeError, ShapeError
from odyssey.tensor.tape import Array, BackwardFunction, Leaf, Node, is_grad_enabled, run_backward

__all__ = ["Tensor", "record"]

Operand: TypeAlias = "Tensor | Array | float"

_UNIT = {np.dtype(t): np.ones((), t) for t in (np.float32, np.float64)}
for _one in _UNIT.values():
    _one.flags.writeable = False


class Tensor:
    """An n-dimensional array that can be differentiated.

    `data` is an ordinary `numpy.ndarray`; an array given is kept, not copied. Operations on Tensors
    (`odyssey.nn.functional`, and the operators and methods below) are recorded while a gradient is wanted, and
    `loss.backward()` fills in `.grad` of every Tensor made with `requires_grad=True` that `loss` depends on.

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

    __slots__ = ("__weakref__", "data", "node")

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
        self.data: Array = data
        self.node: Node | Leaf | None = None
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
            raise ShapeError(
                f"grad: expected {self.data.shape} {self.data.dtype}, found {value.shape} {value.dtype}"
            )
        node.grad = value

    def backward(self, grad: Tensor | Array | None = None) -> None:
        """Add the gradient of this Tensor to `.grad` of every Tensor it was computed from.

        The tape is freed on the way: a second `backward()` through the same operations raises RuntimeError.

        Args:
            grad: the gradient with respect to this Tensor, of its shape and dtype. May be left out when this Tensor has
                one element, where it is 1.

        Raises:
            ShapeError: `grad` does not fit, or is needed and missing.
            RuntimeError: nothing was recorded, or the tape was used before.
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
            run_backward(node, _UNIT[data.dtype] if data.ndim == 0 else np.ones_like(data))
            return
        array = grad.data if isinstance(grad, Tensor) else np.asarray(grad)
        if array.shape != data.shape or array.dtype != data.dtype:
            raise ShapeError(
                f"backward: expected a gradient {data.shape} {data.dtype}, found {array.shape} {array.dtype}"
            )
        run_backward(node, array)

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
        """The same array without history: no gradient flows through it."""
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
        body = np.array2string(self.data, separator=", ", prefix="Tensor(", threshold=100)
        notes = "" if self.data.dtype == np.float32 else f", dtype={self.data.dtype}"
        if type(self.node) is Leaf:
            notes += ", requires_grad=True"
        elif self.node is not None:
            notes += ", recorded"
        return f"Tensor({body}{notes})"

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

    # ---- operations: each is the function of the same name in nn.functional ----------------------------------------

    def __add__(self, other: Operand) -> Tensor:
        return functional.add(self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return functional.add(other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return functional.subtract(self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return functional.subtract(other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return functional.multiply(self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return functional.multiply(other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return functional.divide(self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return functional.divide(other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return functional.power(self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return functional.power(other, self)

    def __matmul__(self, other: Tensor | Array) -> Tensor:
        return functional.matmul(self, other)

    def __rmatmul__(self, other: Tensor | Array) -> Tensor:
        return functional.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functional.negative(self)

    def __getitem__(self, index: Any) -> Tensor:
        """NumPy's indexing, with a gradient; slices share memory with this Tensor."""
        return functional.getitem(self, index)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """The sum over all axes or some."""
        return functional.sum(self, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """The mean over all axes or some."""
        return functional.mean(self, axis, keepdims)

    def max(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """The largest element over all axes or some."""
        return functional.max(self, axis, keepdims)

    def min(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """The smallest element over all axes or some."""
        return functional.min(self, axis, keepdims)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same elements in another shape, given as integers or as one tuple."""
        return functional.reshape(self, *shape)

    def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor:
        """The axes from start_axis to end_axis as one."""
        return functional.flatten(self, start_axis, end_axis)

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        """Axes in the order given, as integers or as one tuple; reversed when none are given."""
        return functional.transpose(self, *axes)

    @property
    def T(self) -> Tensor:
        """The axes reversed."""
        return functional.transpose(self)


def _array(value: object) -> Any:
    return value.data if isinstance(value, Tensor) else value


_new = object.__new__


def record(data: Any, backward: BackwardFunction, inputs: tuple[Any, ...], saved: Any) -> Tensor:
    """The Tensor that holds an operation's result, with a node on the tape if one of its inputs wants a gradient.

    Args:
        data: the result; the scalar that a full reduction gives becomes a 0-d array.
        backward: the operation's backward function (see `odyssey.tensor.tape`).
        inputs: `.node` of each input, in the order in which `backward` returns gradients.
        saved: what `backward` needs to know; it finds this in `node.saved`.
    """
    out: Tensor = _new(Tensor)
    out.data = data if type(data) is np.ndarray else np.asarray(data)
    for edge in inputs:
        if edge is not None:
            out.node = Node(backward, inputs, saved) if is_grad_enabled() else None
            return out
    out.node = None
    return out


# The operators above are nn.functional's, which in turn makes Tensors: the one knot in the imports, tied here at the
# end, where both halves exist.
from odyssey.nn import functional  # noqa: E402
