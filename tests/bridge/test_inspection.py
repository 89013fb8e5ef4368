"""Where an array's bytes lie, how, and who keeps them."""

import array as arrays
import doctest
import mmap

import numpy as np
import pytest

import odyssey as od
from odyssey.bridge import inspect, inspection
from odyssey.errors import DTypeError


def test_a_fresh_array_owns_its_memory():
    x = np.zeros((3, 5), np.float64)
    found = inspect(x)
    assert (found.address, found.shape, found.dtype, found.nbytes) == (x.ctypes.data, (3, 5), "float64", 120)
    assert (found.layout, found.readonly, found.device) == ("C", False, "cpu")
    assert found.owner == ("ndarray, which owns the memory",)
    assert found.address % found.alignment == 0
    assert found.mapping


@pytest.mark.parametrize(
    ("view", "layout"),
    [(lambda x: x.T, "Fortran"), (lambda x: x[::2, 1:], "strided"), (lambda x: x[0], "both"), (lambda x: x[1:], "C")],
)
def test_a_view_names_its_layout_and_the_owner_behind_it(view, layout):
    found = inspect(view(np.zeros((4, 6), np.float32)))
    assert found.layout == layout
    assert found.owner == ("ndarray, a view", "ndarray, which owns the memory")


def test_large_results_lie_in_the_block_cache():
    found = inspect(od.exp(np.zeros(1 << 16, np.float32)))
    assert found.owner == ("ndarray, a view", "odyssey._kernels.array.Block")
    assert found.alignment >= 64


@pytest.mark.parametrize(
    "given", [bytes(8), bytearray(8), arrays.array("f", [1, 2]), memoryview(bytes(8)), od.Tensor(np.zeros(2, np.float32))],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_anything_with_memory_can_be_looked_at(given):
    found = inspect(given)
    assert found.nbytes == 8
    assert type(given).__name__ in found.owner[0]
    assert found.readonly == isinstance(given, (bytes, memoryview))


def test_a_mapped_file_is_named(tmp_path):
    path = tmp_path / "numbers.bin"
    path.write_bytes(bytes(4096))
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        array = np.frombuffer(mapped, np.float32)
        found = inspect(array)
        del array
    assert found.mapping == str(path)
    assert found.readonly
    assert found.alignment == 4096
    assert found.owner == ("ndarray, a view", "mmap.mmap")


def test_what_only_speaks_dlpack_is_taken_by_it():
    class Exporter:
        def __init__(self, array):
            self._array = array

        def __dlpack__(self, **kwargs):
            return self._array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self._array.__dlpack_device__()

    x = np.zeros(3)
    found = inspect(Exporter(x))
    assert found.address == x.ctypes.data
    assert "Exporter" in found.owner[0]


@pytest.mark.parametrize(("kind", "name"), [(2, "cuda:1"), (99, "device type 99:1")])
def test_an_array_on_a_device_says_which(kind, name):
    class Away:
        shape, dtype, nbytes = (2, 3), "float32", 24

        def __dlpack_device__(self):
            return kind, 1

    found = inspect(Away())
    assert (found.device, found.address, found.shape, found.nbytes) == (name, None, (2, 3), 24)
    assert "unknown" in str(found)


def test_the_text_has_a_line_for_each_thing():
    text = str(inspect(np.zeros((2, 2), np.float32)))
    assert [line.split()[0] for line in text.splitlines()] == [
        "address", "elements", "strides", "access", "owner", "mapping", "device",
    ]  # fmt: skip
    assert "(2, 2) float32, 16 bytes" in text


def test_a_list_has_no_memory_to_look_at():
    with pytest.raises(DTypeError, match="found list"):
        inspect([1.0])


def test_an_address_nobody_has_is_in_no_mapping():
    assert inspection._mapping(1) is None


def test_the_examples_run():
    assert doctest.testmod(inspection).failed == 0
