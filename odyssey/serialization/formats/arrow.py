"""Arrow IPC: a table of one row, whose columns are the arrays, each a list of all its elements.

Shapes, and dtypes that Arrow has no type of that size for, stand in the metadata of the columns: bool is stored as
uint8, bfloat16 as the bits of uint16, complex numbers as pairs of floats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from odyssey.errors import FormatError
from odyssey.serialization.arrays import array_over, flat_bytes
from odyssey.serialization.formats.format import (
    Format,
    Holds,
    Write,
    all_dtypes,
    dtype_named,
    library,
    named_arrays,
    plain_metadata,
)
from odyssey.typing import Array

__all__ = ["FORMAT"]

_STORED = {"bool": "uint8", "bfloat16": "uint16", "complex64": "float32", "complex128": "float64"}
HOLDS = Holds(
    what="arrays by name",
    dtypes=all_dtypes(
        bool="bytes of uint8, and a note",
        bfloat16="its bits as uint16, and a note",
        complex64="pairs of float32, and a note",
        complex128="pairs of float64, and a note",
    ),
    metadata=True,
    aligned=False,  # to 8 bytes
)
_DTYPE, _SHAPE, _VERSION = b"odyssey.dtype", b"odyssey.shape", b"odyssey.arrays"


def prepare(value: Any, metadata: Mapping[str, str]) -> Write:
    """The arrays as an Arrow file, from where they lie."""
    pyarrow = library("pyarrow", "arrow")
    metadata = plain_metadata(metadata, "arrow", HOLDS)
    if any(name.startswith("odyssey.") for name in metadata):
        raise ValueError("arrow: expected metadata whose names do not begin with 'odyssey.', found some that do")
    fields, columns = [], []
    for name, array in named_arrays(value, "arrow", HOLDS).items():
        stored = np.dtype(_STORED.get(array.dtype.name, array.dtype.name))
        values = pyarrow.array(flat_bytes(array).view(stored))  # over the same memory
        columns.append(pyarrow.LargeListArray.from_arrays(pyarrow.array([0, len(values)], pyarrow.int64()), values))
        about = {_DTYPE: array.dtype.name, _SHAPE: json.dumps(array.shape)}
        fields.append(pyarrow.field(name, columns[-1].type, metadata=about))
    schema = pyarrow.schema(fields, metadata={_VERSION.decode(): "1", **metadata})
    row = pyarrow.record_batch(columns, schema=schema)

    def write(file: IO[bytes]) -> None:
        with pyarrow.ipc.new_file(file, schema) as writer:
            writer.write_batch(row)

    return write


def read(data: Any) -> tuple[Any, dict[str, str]]:
    """A file of ours; `pyarrow.ipc` reads tables."""
    pyarrow = library("pyarrow", "arrow")
    whole = np.frombuffer(data, np.uint8)
    try:
        with pyarrow.ipc.open_file(pyarrow.py_buffer(data)) as reader:
            schema = reader.schema
            about = dict(schema.metadata or {})
            if about.pop(_VERSION, None) != b"1" or reader.num_record_batches != 1:
                raise FormatError("arrow: expected a file that odyssey wrote, found another; pyarrow.ipc reads tables")
            row = reader.get_batch(0)
        row.validate(full=True)
    except pyarrow.ArrowException as error:
        raise FormatError(f"arrow: expected a complete Arrow file, found it damaged ({error})") from error
    if row.num_rows != (1 if len(schema) else 0) or len(set(schema.names)) != len(schema.names):
        raise FormatError(f"arrow: expected one row of columns of different names, found {row.num_rows}")
    arrays = {field.name: _array(pyarrow, field, row.column(i), whole) for i, field in enumerate(schema)}
    metadata = {name.decode(): text.decode() for name, text in about.items()}
    return arrays, metadata


def _array(pyarrow: Any, field: Any, column: Any, whole: Array) -> Array:
    """The array of a column: a view of the file's bytes."""
    note = field.metadata or {}
    dtype = dtype_named(note[_DTYPE].decode(), "arrow")
    shape = json.loads(note[_SHAPE])
    stored = pyarrow.from_numpy_dtype(np.dtype(_STORED.get(dtype.name, dtype.name)))
    if field.type != pyarrow.large_list(stored) or column.null_count or type(shape) is not list:
        raise FormatError(f"arrow: expected a list of {stored} as {field.name!r}, found {field.type}")
    values = column.values[column.offsets[0].as_py() : column.offsets[1].as_py()]
    nbytes = len(values) * np.dtype(stored.to_pandas_dtype()).itemsize
    if values.null_count:
        raise FormatError(f"arrow: expected elements without nulls as {field.name!r}, found some")
    if not nbytes:
        return array_over(b"", dtype, tuple(shape))
    buffer = values.buffers()[1]
    start = buffer.address + values.offset * stored.bit_width // 8 - whole.ctypes.data
    if 0 <= start <= len(whole) - nbytes:
        return array_over(whole[start : start + nbytes].data, dtype, tuple(shape))
    return array_over(np.array(values).view(np.uint8).data, dtype, tuple(shape))  # it was compressed


FORMAT = Format(
    name="arrow", suffixes=(".arrow", ".feather"), magic=b"ARROW1\0\0", holds=HOLDS, prepare=prepare, read=read
)
