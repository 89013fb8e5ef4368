"""Status codes: what a library's numbers mean, and the exceptions they become."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from odyssey.errors import DeviceError, KernelError, LayoutError, ShapeError

__all__ = ["ODYSSEY", "InvalidValueError", "Status", "exception"]


class InvalidValueError(KernelError, ValueError):
    """A library refused an argument; `status` is its code."""


class Status(Enum):
    """What a code means. Each meaning but SUCCESS has an exception.

    ================  ====================  ==========================================================
    SUCCESS           none                  the call returns None
    NOT_AVAILABLE     DeviceError           a device, a driver, an instruction set that is not there
    INVALID_VALUE     InvalidValueError     a ValueError and a KernelError
    INVALID_SIZE      ShapeError            sizes that do not fit, or are too large
    INVALID_INDEX     IndexError            a label or a row that does not exist
    NULL_POINTER      LayoutError           NULL, or memory that is not aligned, where it must not be
    LAUNCH_FAILED     KernelError           the work could not be begun
    FAILED            KernelError           anything else that went wrong
    OUT_OF_MEMORY     MemoryError
    ================  ====================  ==========================================================
    """

    SUCCESS = "success"
    NOT_AVAILABLE = "not available"
    INVALID_VALUE = "invalid value"
    INVALID_SIZE = "invalid size"
    INVALID_INDEX = "invalid index"
    NULL_POINTER = "null pointer"
    LAUNCH_FAILED = "launch failed"
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"


_EXCEPTIONS: dict[Status, type[Exception]] = {
    Status.NOT_AVAILABLE: DeviceError,
    Status.INVALID_SIZE: ShapeError,
    Status.INVALID_INDEX: IndexError,
    Status.NULL_POINTER: LayoutError,
    Status.OUT_OF_MEMORY: MemoryError,
}

ODYSSEY: Mapping[int, Status] = {
    0: Status.SUCCESS,
    1: Status.OUT_OF_MEMORY,
    2: Status.INVALID_SIZE,
    3: Status.NULL_POINTER,
    4: Status.FAILED,
    5: Status.INVALID_VALUE,
    6: Status.INVALID_INDEX,
    7: Status.NOT_AVAILABLE,
}
"""The codes of `ody_status`, include/odyssey/odyssey.h."""


def exception(function: str, code: int, table: Mapping[int, Status], text: str = "") -> Exception | None:
    """The exception of a code, None for success. It has the code as `status`, whatever its class.

    Example:
        >>> error = exception("solve", 2, {0: Status.SUCCESS, 2: Status.OUT_OF_MEMORY})
        >>> error, error.status
        (MemoryError('solve: out of memory (status 2)'), 2)
        >>> exception("solve", 77, {0: Status.SUCCESS})
        KernelError('solve: a status that its table does not have (status 77)')
    """
    meaning = table.get(code)
    if meaning is Status.SUCCESS:
        return None
    text = text or (meaning.value if meaning else "a status that its table does not have")
    message = f"{function}: {text} (status {code})"
    kind = _EXCEPTIONS.get(meaning) if meaning else None
    if kind is None:
        return (InvalidValueError if meaning is Status.INVALID_VALUE else KernelError)(message, code)
    error = kind(message)
    error.status = code  # type: ignore[attr-defined]
    return error
