"""The exceptions odyssey raises. A message says what was expected, what was found and what to do about it."""

__all__ = ["DTypeError", "DeviceError", "FormatError", "KernelError", "LayoutError", "OdysseyError", "ShapeError"]


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


class KernelError(OdysseyError, RuntimeError):
    """A kernel reported failure; `status` is its code."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
