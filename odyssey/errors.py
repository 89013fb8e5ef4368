"""The exceptions odyssey raises. A message says what was expected, what was found and what to do about it.

ShapeError: matmul: a's columns (128) must match b's rows (256)
  a: (32, 128) float32    b: (64, 256) float32
  b's transpose fits: od.matmul(a, b.T)
"""

__all__ = [
    "CompileError",
    "DTypeError",
    "DeviceError",
    "FormatError",
    "KernelError",
    "LayoutError",
    "OdysseyError",
    "ShapeError",
    "describe",
    "explain",
]


class OdysseyError(Exception):
    """The base of every error odyssey raises itself."""


class ShapeError(OdysseyError, ValueError):
    """Shapes that do not fit together, or do not fit the operation."""


class DTypeError(OdysseyError, TypeError):
    """An element type that the operation does not take."""


class LayoutError(OdysseyError, ValueError):
    """Memory that cannot serve: read-only, overlapping, or laid out in a way that is not allowed."""


class DeviceError(OdysseyError, RuntimeError):
    """A device that is absent or cannot do what was asked."""


class FormatError(OdysseyError, ValueError):
    """A file or message whose bytes are not what its format says."""


class CompileError(OdysseyError, TypeError):
    """A function, or a construct in it, that cannot be compiled; the message shows the line."""


class KernelError(OdysseyError, RuntimeError):
    """A kernel reported failure; `status` is its code."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def describe(**operands: object) -> str:
    """The shape and dtype of each array, the value of anything else: the second line of a message.

    >>> import numpy as np
    >>> describe(a=np.zeros((32, 128), np.float32), alpha=0.5)
    'a: (32, 128) float32    alpha: 0.5'
    """
    return "    ".join(f"{name}: {_describe(operand)}" for name, operand in operands.items())


def _describe(operand: object) -> str:
    if hasattr(operand, "shape") and hasattr(operand, "dtype"):
        return f"{tuple(operand.shape)} {operand.dtype}"
    if operand is None or isinstance(operand, (bool, int, float, str, tuple)):
        return repr(operand)
    return type(operand).__name__


def explain(expected: str, found: str = "", remedy: str = "") -> str:
    """The three parts of a message, a line each; an empty part is left out.

    >>> print(explain("dot: a and b must be equally long", "a: (3,) float32    b: (4,) float32"))
    dot: a and b must be equally long
      a: (3,) float32    b: (4,) float32
    """
    return "\n  ".join(part for part in (expected, found, remedy) if part)
