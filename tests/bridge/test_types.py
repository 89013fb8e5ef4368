"""The table of types: every name of a type is the type that NumPy means, and numbers cross as what they are."""

import doctest
import math

import numpy as np
import pytest

from odyssey.bridge import types
from odyssey.errors import DTypeError

ROWS = list(types.TYPES.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_agrees_with_numpy_about_itself(row):
    assert row.dtype.itemsize == row.bytes
    assert types.of(row.dtype) is types.of(row.name) is types.of(np.zeros(2, row.dtype)) is row
    assert row.name in types.markdown()


def test_numbers_in_the_table_are_unique_where_they_identify():
    for column in ("name", "proto", "arrow", "safetensors"):
        values = [value for row in ROWS if (value := getattr(row, column)) is not None]
        assert len(values) == len(set(values)), column


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.c != "uint16_t" or row.name == "uint16"], ids=lambda row: row.name
)
def test_a_c_name_leads_back_to_its_row(row):
    assert types.from_c(row.c) is types.from_c(f"const {row.c}") is row


def test_arrow_means_the_same_by_its_format_strings():
    pyarrow = pytest.importorskip("pyarrow")
    for row in ROWS:
        if row.arrow is None or row.name == "bool":  # Arrow's bool is a bit
            continue
        array = pyarrow.array(np.zeros(1, row.dtype))
        assert array.type == pyarrow.from_numpy_dtype(row.dtype)


@pytest.mark.parametrize("bad", ["U3", "O", "M8[s]", "no such type", np.dtype(">f4"), "V8", None.__class__])
def test_what_has_no_row_is_refused(bad):
    with pytest.raises(DTypeError, match="expected one of bool, int8"):
        types.of(bad)


def test_the_other_byte_order_comes_with_a_remedy():
    with pytest.raises(DTypeError, match="newbyteorder") as raised:
        types.of(np.zeros(1, ">i8"))
    assert "byte order" in str(raised.value)


def test_an_unknown_c_type_is_named():
    with pytest.raises(DTypeError, match="struct point"):
        types.from_c("struct point")


def test_an_array_of_another_type_is_not_converted():
    array = np.zeros(3, np.float32)
    assert types.require(array, "float32") is array
    for wanted in ("float64", "int32", "bfloat16"):
        with pytest.raises(DTypeError, match=f"expected {wanted}, found float32"):
            types.require(array, wanted)


@pytest.mark.parametrize(
    ("value", "dtype", "found"),
    [
        (3, "int8", 3), (np.int64(-4), "int64", -4), (True, "bool", True), (2, "float64", 2.0), (1.5, "float32", 1.5),
        (np.float32(0.1), "float32", float(np.float32(0.1))), (1, "complex64", 1 + 0j), (2j, "complex128", 2j),
        (math.inf, "float16", math.inf), (2**64 - 1, "uint64", 2**64 - 1),
    ],
)  # fmt: skip
def test_a_number_crosses_as_the_type_asked_for(value, dtype, found):
    crossed = types.scalar(value, dtype)
    assert crossed == found
    assert type(crossed) is type(found)


@pytest.mark.parametrize(
    ("value", "dtype", "error"),
    [
        (1.0, "int32", DTypeError), (True, "int32", DTypeError), (1, "bool", DTypeError), ("1", "float32", DTypeError),
        (True, "float32", DTypeError), (1j, "float64", DTypeError), (np.float64(1), "float32", DTypeError),
        (np.int64(1), "int32", DTypeError), (-1, "uint8", OverflowError), (2**31, "int32", OverflowError),
        (1e39, "float32", OverflowError), (7e4, "float16", OverflowError),
    ],
)  # fmt: skip
def test_a_number_that_would_change_on_the_way_is_refused(value, dtype, error):
    with pytest.raises(error, match="expected"):
        types.scalar(value, dtype)


def test_the_examples_run():
    assert doctest.testmod(types).failed == 0
