"""Pickles as Python 2 wrote them for CIFAR: dicts of numbers, byte strings, lists and arrays of bytes. Nothing else.

A pickle is a program, and `pickle.load` runs it. Here the program may use the instructions that these files consist of,
and the three names of NumPy that an array is put together from; what stands behind the names are stand-ins of ours,
which accept what these files give them and only keep the bytes. Neither NumPy nor anything else is called on a file's
behalf.

It is the interpreter in Python that runs it, not the one in C: its instructions are a table, from which those that are
not needed can be left out, and its memo is a dict, where a file cannot claim gigabytes by using a high number.
"""

from __future__ import annotations

import io
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.data.dataset import Array
from odyssey.errors import FormatError

__all__ = ["Bytes", "read_pickle"]

# What cPickle of Python 2 writes for such a dict, by protocol 2 (the batches) and 0 (batches.meta).
_INSTRUCTIONS = (
    pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BUILD, pickle.NONE,
    pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2,
    pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING,
    pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.EMPTY_TUPLE,
    pickle.LIST, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS,
    pickle.DICT, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS,
    pickle.GET, pickle.BINGET, pickle.LONG_BINGET, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT,
)  # fmt: skip


class Bytes:
    """An array of bytes as a pickle describes it: NumPy's `__reduce__`, undone by hand."""

    __slots__ = ("_data", "_fortran", "shape")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self._data = b""
        self._fortran = False

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, fortran, data = state
        well_formed = version == 1 and isinstance(dtype, _ByteType) and type(data) is bytes and type(shape) is tuple
        natural = well_formed and all(type(axis) is int and axis >= 0 for axis in shape)
        if not natural or math.prod(shape) != len(data):
            raise FormatError("an array that does not hold what it says")
        self.shape, self._data, self._fortran = shape, data, bool(fortran)

    def array(self) -> Array:
        """A copy of it, uint8, in C order."""
        flat = np.frombuffer(self._data, np.uint8)
        return np.array(flat.reshape(self.shape, order="F" if self._fortran else "C"), order="C")


class _ByteType:
    """dtype('u1')."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if state != (3, b"|", None, None, None, -1, -1, 0):
            raise FormatError("an array of something else than bytes")


class _Name:
    """What a pickle's GLOBAL gives: a name, which knows the calls that these files make."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __setstate__(self, state: Any) -> None:
        raise FormatError(f"a state for {self._name}")

    def __call__(self, *arguments: Any) -> Any:
        if self._name == "numpy.dtype" and arguments == (b"u1", 0, 1):
            return _ByteType()
        if self._name == "numpy.core.multiarray._reconstruct" and len(arguments) == 3:
            made, shape, code = arguments
            if isinstance(made, _Name) and made._name == "numpy.ndarray" and (shape, code) == ((0,), b"b"):
                return Bytes()
        raise FormatError(f"a call of {self._name} with other arguments")


_NAMES = ("numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype")


def _named(instruction: Any, key_of: slice) -> Any:
    """An instruction that fills a dict, for keys that are strings: hashing tuples in tuples takes the C stack."""

    def fill(self: Any) -> None:
        if not all(type(key) is bytes for key in self.stack[key_of]):
            raise FormatError("a key that is no string")
        instruction(self)

    return fill


_ALL: dict[int, Any] = pickle._Unpickler.dispatch
_TABLE = {code[0]: _ALL[code[0]] for code in _INSTRUCTIONS} | {
    code[0]: _named(_ALL[code[0]], keys)
    for code, keys in (
        (pickle.SETITEM, slice(-2, -1)),
        (pickle.SETITEMS, slice(0, None, 2)),
        (pickle.DICT, slice(0, None, 2)),
    )
}


class _Unpickler(pickle._Unpickler):
    dispatch = _TABLE

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _NAMES:
            raise FormatError(f"the name {full!r}, which no such file uses")
        return _Name(full)


def read_pickle(path: str | os.PathLike[str], archive: str) -> dict[Any, Any]:
    """The dict in one of CIFAR's pickles, byte strings as bytes and arrays as `Bytes`.

    Args:
        path: the file.
        archive: where the published one comes from, for the message.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is damaged or holds anything but such a dict. Nothing in it has been executed.
    """
    data = Path(path).read_bytes()
    try:
        found = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # whatever a file that lies makes the interpreter stumble over
        what = str(error) if isinstance(error, FormatError) else f"it damaged ({type(error).__name__})"
        raise FormatError(
            f"{os.fspath(path)}: expected a Python batch of CIFAR, {len(data)} bytes of it, found {what}; "
            f"nothing of it was executed; get {archive} again"
        ) from error
    if type(found) is not dict:
        raise FormatError(
            f"{os.fspath(path)}: expected a dict, as CIFAR's Python batches hold, found a pickled "
            f"{type(found).__name__}; get {archive} again"
        )
    return found
