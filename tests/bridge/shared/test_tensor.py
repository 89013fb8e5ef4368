"""A SharedTensor is an array: every view of it is the same bytes, and what cannot be one is an error and not a crash."""

import copy
import doctest
import fcntl
import gc
import mmap
import os
import pickle
import re
import socket
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import odyssey as od
from odyssey.bridge import types
from odyssey.bridge.shared import HandoverError, SharedTensor
from odyssey.bridge.shared import memory as memories
from odyssey.bridge.shared import tensor as module
from odyssey.bridge.shared.layout import HEADER_BYTES, Layout, contiguous, pack, unpack
from odyssey.errors import DTypeError, FormatError, LayoutError, ShapeError

DTYPES = list(types.TYPES)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seals and /proc are Linux's")
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def numbers(shape, dtype="float32"):
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(types.of(dtype).dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3), (1, 2, 3, 4)])
def test_every_type_and_shape_is_shared_and_comes_back_from_a_pickle(dtype, shape, backing):
    array = numbers(shape, dtype)
    tensor = SharedTensor.share(array)
    assert (tensor.shape, tensor.dtype, tensor.ndim, tensor.nbytes) == (shape, array.dtype, len(shape), array.nbytes)
    assert np.array_equal(tensor.array, array)
    again = pickle.loads(pickle.dumps(tensor))
    assert np.array_equal(again.array, array)
    assert again.inode == tensor.inode
    if array.size:
        assert again.array.ctypes.data == tensor.array.ctypes.data  # one mapping in a process
        again.array[...] = 1
        assert np.all(tensor.array == np.ones((), array.dtype))
    assert tensor.writable


def test_the_elements_begin_on_a_page(backing):
    assert SharedTensor.create((7,), "int8").array.ctypes.data % mmap.PAGESIZE == 0


def test_fortran_order_is_kept():
    array = np.asfortranarray(numbers((3, 4)))
    tensor = SharedTensor.share(array)
    assert tensor.strides == array.strides
    assert tensor.array.flags.f_contiguous
    assert SharedTensor.share(array[::2]).array.flags.c_contiguous


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: SharedTensor((2, 3)), TypeError, "SharedTensor.create(shape, dtype)"),
        (lambda: SharedTensor.create((2, -1)), ShapeError, "extents of 0 or more, found (2, -1)"),
        (lambda: SharedTensor.create((1 << 40, 1 << 40)), ShapeError, "found (1099511627776"),
        (lambda: SharedTensor.create((1,) * 65), ShapeError, "at most 64"),
        (lambda: SharedTensor.create(3, "U4"), DTypeError, "expected one of bool"),
        (lambda: SharedTensor.create(3, ">f4"), DTypeError, "byte order"),
        (lambda: SharedTensor.create(3, order="K"), ValueError, "expected order 'C' or 'F', found 'K'"),
        (lambda: SharedTensor.share([object()]), DTypeError, "expected an array of numbers, found list"),
        (lambda: SharedTensor.create(1 << 58, "int8", reserve=True), MemoryError, "expected room for"),
    ],
)
def test_what_cannot_be_shared_is_explained(make, kind, message):
    before = descriptors()
    with pytest.raises(kind, match=re.escape(message)):
        make()
    gc.collect()
    assert descriptors() == before


def test_reserved_memory_is_there_at_once(backing):
    tensor = SharedTensor.create(1 << 20, "uint8", reserve=True)
    assert os.fstat(tensor.fileno()).st_blocks * 512 >= 1 << 20
    assert os.fstat(SharedTensor.create(1 << 20, "uint8").fileno()).st_blocks * 512 < 1 << 16


def test_a_backing_that_is_unknown_is_an_error(monkeypatch):
    monkeypatch.setenv("ODYSSEY_SHARED_MEMORY", "floppy")
    with pytest.raises(ValueError, match="expected memfd or file, found 'floppy'"):
        SharedTensor.create(3)


def test_without_memfd_memory_is_a_file_without_a_name(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(os, "O_TMPFILE")
    monkeypatch.setattr(memories.tempfile, "tempdir", str(tmp_path))
    tensor = SharedTensor.share(numbers(4))
    assert os.listdir(tmp_path) == []
    assert os.fstat(tensor.fileno()).st_nlink == 0
    assert np.array_equal(pickle.loads(pickle.dumps(tensor)).array, numbers(4))


def test_memory_goes_when_nobody_has_it(backing):
    before = descriptors()
    tensor = SharedTensor.share(numbers(100))
    array = tensor.array
    tensor.close()
    assert tensor.closed
    assert "closed" in repr(tensor)
    assert array[99] == 99
    with pytest.raises(ValueError, match="expected an open tensor, found it closed"):
        _ = tensor.array
    del array
    assert descriptors() == before
    with SharedTensor.create(3) as tensor:
        pass
    assert tensor.closed


# ---- reading and writing --------------------------------------------------------------------------------------------


def test_a_tensor_is_read_and_written_like_an_array():
    tensor = SharedTensor.create((2, 3))
    tensor[0] = 7
    tensor[1, 2] = 5
    assert (len(tensor), tensor[0, 1], tensor[1, 2]) == (2, 7, 5)
    assert repr(tensor) == "SharedTensor(shape=(2, 3), dtype=float32, writable)"


def test_a_read_only_tensor_cannot_be_written_to_and_sees_what_others_write(backing):
    tensor = SharedTensor.share(numbers(4))
    reader = tensor.readonly()
    assert reader.readonly().inode == reader.inode == tensor.inode
    with pytest.raises(ValueError, match="read-only"):
        reader.array[0] = 1
    tensor.array[0] = 9
    assert reader.array[0] == 9
    assert "read-only" in repr(reader)
    again = pickle.loads(pickle.dumps(reader))
    assert not again.writable
    assert tensor.readonly().array.ctypes.data == reader.array.ctypes.data


@LINUX
def test_the_kernel_lets_nobody_write_through_a_read_only_tensor():
    reader = SharedTensor.share(numbers(4)).readonly()
    with pytest.raises(PermissionError):
        mmap.mmap(reader.fileno(), 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(reader.fileno(), b"x")


@LINUX
def test_a_frozen_tensor_is_constant():
    frozen = SharedTensor.share(numbers(4), readonly=True)
    seals = fcntl.fcntl(frozen.fileno(), fcntl.F_GET_SEALS)
    assert seals & fcntl.F_SEAL_WRITE
    assert seals & fcntl.F_SEAL_SEAL
    again = os.open(f"/proc/self/fd/{frozen.fileno()}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.write(again, b"x")
    os.close(again)
    assert np.array_equal(frozen.array, numbers(4))
    assert frozen.freeze().array[3] == 3


@LINUX
def test_arrays_that_are_around_stay_writable_when_a_tensor_is_frozen():
    tensor = SharedTensor.create(4)
    array = tensor.array
    frozen = tensor.freeze()
    assert tensor.closed
    array[0] = 5
    assert frozen.array[0] == 5
    again = os.open(f"/proc/self/fd/{frozen.fileno()}", os.O_RDWR)
    with pytest.raises(PermissionError):
        mmap.mmap(again, 0)
    os.close(again)


@LINUX
def test_what_was_handed_over_cannot_be_frozen():
    tensor = SharedTensor.create(4)
    pickle.loads(pickle.dumps(tensor))
    with pytest.raises(LayoutError, match="found it handed over already"):
        tensor.freeze()


def test_freezing_a_file_is_reading_it(monkeypatch):
    monkeypatch.setenv("ODYSSEY_SHARED_MEMORY", "file")
    assert not SharedTensor.create(4).freeze().writable


@LINUX
def test_memory_keeps_its_size():
    tensor = SharedTensor.create(4)
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(tensor.fileno(), size)
    pickle.dumps(tensor)
    with pytest.raises(PermissionError):
        fcntl.fcntl(tensor.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_part_is_a_tensor_in_the_same_memory(backing):
    tensor = SharedTensor.share(numbers((4, 6)))
    part = tensor.part(np.s_[1:3, ::2])
    assert np.array_equal(part.array, numbers((4, 6))[1:3, ::2])
    again = pickle.loads(pickle.dumps(part))
    again.array[...] = -1
    assert np.all(tensor[1:3, ::2] == -1)
    assert again.inode == tensor.inode
    assert tensor.part(np.s_[2, 3, ...]).shape == ()
    for wrong in (np.s_[::-1], np.s_[[0, 1]], np.s_[0, 0]):
        with pytest.raises(LayoutError, match="expected a part that lies in the memory"):
            tensor.part(wrong)


def test_copies_are_what_they_are_called():
    tensor = SharedTensor.share(numbers(4))
    assert copy.copy(tensor).array.ctypes.data == tensor.array.ctypes.data
    other = copy.deepcopy(tensor)
    assert other.inode != tensor.inode
    assert np.array_equal(other.array, tensor.array)


@LINUX
def test_the_kernel_knows_who_has_the_memory():
    tensor = SharedTensor.create(4)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)  # until the parent says so, or is gone
        os._exit(0)
    os.close(reading)
    both = tensor.holders()
    os.close(writing)
    os.waitpid(child, 0)
    assert both == sorted([os.getpid(), child])
    assert tensor.holders() == [os.getpid()]
    key, array = tensor.inode, tensor.array
    tensor.close()  # the mapping alone is left
    gc.collect()
    assert module._holders(key) == [os.getpid()]
    del array
    assert module._holders(key) == []


# ---- other libraries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readonly", [False, True])
def test_numpy_and_kernels_take_the_tensor_itself(readonly):
    tensor = SharedTensor.share(numbers((4, 8)), readonly=readonly)
    assert np.asarray(tensor).ctypes.data == tensor.array.ctypes.data
    assert np.asarray(tensor).flags.writeable is not readonly
    assert np.asarray(tensor, dtype=np.float64).dtype == np.float64
    assert tensor.__array__(copy=True).ctypes.data != tensor.array.ctypes.data
    assert tensor.__array__(np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="expected float32, found float64"):
        tensor.__array__(np.float64, copy=False)
    assert np.array_equal(od.softmax(tensor), od.softmax(numbers((4, 8))))
    assert np.array_equal(od.matmul(tensor, tensor.array.T), od.matmul(numbers((4, 8)), numbers((4, 8)).T))
    assert np.from_dlpack(tensor).ctypes.data == tensor.array.ctypes.data
    assert tensor.__dlpack_device__() == (1, 0)


def test_an_array_made_from_a_tensor_outlives_it():
    tensor = SharedTensor.share(numbers(4))
    array, raw = np.asarray(tensor), tensor.__array_interface__
    tensor.close()
    del tensor
    gc.collect()
    assert np.array_equal(array, numbers(4))
    assert isinstance(raw["data"], memoryview)


def test_bfloat16_and_empty_tensors_are_arrays_too():
    tensor = SharedTensor.share(numbers(4, "bfloat16"))
    assert np.asarray(tensor).ctypes.data == tensor.array.ctypes.data
    assert not hasattr(tensor, "__array_interface__")
    for readonly in (False, True):
        empty = SharedTensor.share(np.zeros((0, 3)), readonly=readonly)
        assert np.asarray(empty).shape == (0, 3)
        assert np.asarray(empty).flags.writeable is not readonly


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0,), (2, 0)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "float16", "uint8"])
def test_arrow_sees_the_same_memory(shape, dtype):
    pa = pytest.importorskip("pyarrow")
    tensor = SharedTensor.share(numbers(shape, dtype))
    array = pa.array(tensor)
    if tensor.nbytes:
        assert array.to_pylist() == tensor.array.tolist()
        leaf = array
        while pa.types.is_fixed_size_list(leaf.type):
            leaf = leaf.flatten()
        assert leaf.buffers()[1].address == tensor.array.ctypes.data
        tensor.array[...] = 3
        tensor.close()
        assert leaf.to_pylist() == [3] * leaf.__len__()
    else:
        assert len(array) == shape[0] or 0 in shape
    nanoarrow = pytest.importorskip("nanoarrow")
    if len(shape) == 1 and dtype != "float16":
        assert nanoarrow.Array(SharedTensor.share(numbers(shape, dtype))).to_pylist() == numbers(shape, dtype).tolist()


def test_what_arrow_keeps_differently_is_refused(monkeypatch):
    for dtype in ("bool", "bfloat16", "complex64"):
        with pytest.raises(DTypeError, match=f"found {dtype}"):
            SharedTensor.create(3, dtype).__arrow_c_array__()
    with pytest.raises(LayoutError, match="elements one after the other"):
        SharedTensor.create((3, 4)).part(np.s_[:, ::2]).__arrow_c_array__()
    with pytest.raises(LayoutError, match="at least one axis"):
        SharedTensor.create(()).__arrow_c_array__()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'odyssey[bridge]'")):
        SharedTensor.create(3).__arrow_c_array__()


# ---- over a socket --------------------------------------------------------------------------------------------------


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(30)
        theirs.settimeout(30)
        yield ours, theirs


@pytest.mark.parametrize("readonly", [False, True])
def test_a_tensor_is_sent_over_a_socket(line, readonly, backing):
    before = descriptors()
    tensor = SharedTensor.share(numbers((2, 3)), readonly=readonly)
    tensor.send(line[0])
    inode = tensor.inode
    tensor.close()
    found = SharedTensor.receive(line[1])
    assert found.inode == inode
    assert found.writable is not readonly
    assert np.array_equal(found.array, numbers((2, 3)))
    del found, tensor
    assert descriptors() == before


def test_what_has_no_header_is_not_sent(line, tmp_path):
    np.save(tmp_path / "a.npy", numbers(4))
    for tensor in (SharedTensor.create(4).part(np.s_[1:]), SharedTensor.open(tmp_path / "a.npy")):
        with pytest.raises(LayoutError, match="found a part or a file"):
            tensor.send(line[0])


def test_a_socket_that_brings_no_tensor_is_an_error(line, tmp_path):
    before = descriptors()
    line[0].send(b"w")
    with pytest.raises(FormatError, match="expected a descriptor, found the byte b'w' alone"):
        SharedTensor.receive(line[1])
    with open(tmp_path / "text", "wb+") as file:
        file.write(b"nothing of the kind")
        file.flush()
        socket.send_fds(line[0], [b"w"], [file.fileno(), file.fileno()])
        with pytest.raises(FormatError, match="expected memory that begins with b'ODYSHARE'"):
            SharedTensor.receive(line[1])
    reading, writing = os.pipe()
    socket.send_fds(line[0], [b"w"], [reading])
    os.close(reading)
    os.close(writing)
    with pytest.raises(FormatError, match="found one of something else"):
        SharedTensor.receive(line[1])
    line[0].shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError, match="the other side has gone"):
        SharedTensor.receive(line[1])
    assert descriptors() == before


# ---- headers --------------------------------------------------------------------------------------------------------

LAYOUTS = st.builds(
    contiguous,
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from(DTYPES),
    order=st.sampled_from("CF"),
)


@given(LAYOUTS, st.binary(min_size=16, max_size=16))
def test_a_header_says_what_was_put_into_it(layout, identity):
    assert unpack(pack(layout, identity), layout.end) == (layout, identity)


@settings(max_examples=400)
@given(LAYOUTS, st.data())
def test_a_header_that_was_changed_is_an_error(layout, data):
    header = bytearray(pack(layout, bytes(16)))
    place = data.draw(st.integers(0, len(header) - 1))
    header[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormatError):
        unpack(bytes(header), layout.end)
    with pytest.raises(FormatError):
        unpack(bytes(header[:place]), layout.end)


@pytest.mark.parametrize(
    ("layout", "size", "message"),
    [
        (Layout("float32", (4,), (4,), HEADER_BYTES), HEADER_BYTES + 15, "expected 4112 bytes"),
        (Layout("float32", (4,), (8,), HEADER_BYTES), HEADER_BYTES + 16, "expected 4124 bytes"),
        (Layout("float32", (4,), (0,), HEADER_BYTES), HEADER_BYTES + 16, "elements that do not overlap"),
        (Layout("float32", (-1,), (4,), HEADER_BYTES), HEADER_BYTES + 16, "no negative numbers"),
        (Layout("float32", (4,), (-4,), HEADER_BYTES), HEADER_BYTES + 16, "no negative numbers"),
        (Layout("float32", (1 << 62, 1 << 62), (4, 4), HEADER_BYTES), HEADER_BYTES + 16, "bytes for float32"),
        (Layout("float32", (0,), (4,), 1 << 40), HEADER_BYTES, "from byte 1099511627776 on"),
        (Layout("float32", (4,), (4,), 0), HEADER_BYTES + 16, "expected the elements behind the header"),
    ],
)
def test_a_header_that_lies_is_an_error(layout, size, message):
    with pytest.raises(FormatError, match=re.escape(message)):
        unpack(pack(layout, bytes(16)), size)


def test_layouts_that_are_none_are_errors():
    for layout in (
        Layout("float31", (1,), (4,), 0),
        Layout("int8", (1,), (1, 1), 0),
        Layout("int8", (1,) * 65, (1,) * 65, 0),
    ):
        with pytest.raises(FormatError, match="expected"):
            layout.check(1 << 20, "here")


def forged(header, size):
    descriptor = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    os.pwrite(descriptor, header, 0)
    return descriptor


@LINUX
def test_memory_that_could_be_cut_short_or_lies_is_not_received():
    before = descriptors()
    header = pack(contiguous(4, "float32"), bytes(16))
    with pytest.raises(FormatError, match="sealed against shrinking"):
        SharedTensor.from_descriptor(forged(header, HEADER_BYTES + 16))
    with pytest.raises(FormatError, match="expected 4112 bytes"):
        SharedTensor.from_descriptor(forged(header, HEADER_BYTES))
    wrong = bytearray(header)
    wrong[8] = 9
    with pytest.raises(FormatError, match="expected version 1, found 9"):
        SharedTensor.from_descriptor(forged(wrong, HEADER_BYTES + 16))
    assert descriptors() == before
    sealed = forged(header, HEADER_BYTES + 16)
    fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    assert SharedTensor.from_descriptor(sealed).shape == (4,)


def test_a_header_with_the_number_of_no_dtype_is_an_error(monkeypatch):
    from odyssey.bridge.shared import layout as module

    header = pack(contiguous(4, "float32"), bytes(16))
    monkeypatch.setattr(module, "_DTYPES", {})
    with pytest.raises(FormatError, match="expected the number of a dtype, found 12"):
        unpack(header, 1 << 20)


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bfloat16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_mapped(tmp_path, dtype, order):
    array = np.asarray(numbers((3, 4), dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    tensor = SharedTensor.open(tmp_path / "a.npy")
    assert np.array_equal(tensor.array, array)
    assert tensor.array.flags.f_contiguous == array.flags.f_contiguous
    assert not tensor.writable
    again = pickle.loads(pickle.dumps(tensor))
    assert np.array_equal(again.array, array)
    assert again._memory.path == str(tmp_path / "a.npy")


def test_a_file_is_written_to_or_copied_on_write(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, numbers(4))
    SharedTensor.open(path, mode="r+").array[0] = 7
    assert np.load(path)[0] == 7
    private = SharedTensor.open(path, mode="c")
    private.array[1] = 9
    assert np.load(path)[1] == 1
    for hand_over in (pickle.dumps, SharedTensor.readonly, SharedTensor.freeze):
        with pytest.raises(LayoutError, match="copy-on-write"):
            hand_over(private)
    writable = SharedTensor.open(path, mode="r+")
    pickle.loads(pickle.dumps(writable)).array[2] = 8
    assert np.load(path)[2] == 8
    assert not writable.freeze().writable


def test_raw_bytes_are_mapped_with_a_shape(tmp_path):
    path = tmp_path / "raw"
    path.write_bytes(b"xxx" + numbers((2, 3)).tobytes())
    tensor = SharedTensor.open(path, shape=(2, 3), dtype="float32", offset=3)
    assert np.array_equal(tensor.array, numbers((2, 3)))
    assert np.array_equal(od.exp(tensor), od.exp(numbers((2, 3))))
    (tmp_path / "empty").write_bytes(b"")
    assert SharedTensor.open(tmp_path / "empty", shape=0, dtype="int8").array.size == 0


@pytest.mark.parametrize("dtype", [name for name in DTYPES if types.TYPES[name].safetensors and name != "complex64"])
def test_safetensors_files_are_mapped(tmp_path, dtype):
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    arrays = {"a": numbers((2, 3), dtype), "b": numbers(5, dtype), "none": numbers((0, 2), dtype)}
    save_file(arrays, path, {"made": "here"})
    tensors = SharedTensor.open_all(path)
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert np.array_equal(tensors[name].array, array)
        assert tensors[name].dtype == array.dtype
        assert np.array_equal(SharedTensor.open(path, tensor=name).array, array)
    with pytest.raises(KeyError, match="expected one of"):
        SharedTensor.open(path, tensor="c")
    with pytest.raises(KeyError, match="expected one of"):
        SharedTensor.open(path)
    save_file({"one": arrays["b"]}, path)
    assert SharedTensor.open(path).shape == (5,)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"shape": 3}, ValueError, "expected shape and dtype together"),
        ({"shape": 3, "dtype": "int8", "offset": -1}, ValueError, "expected an offset of 0 or more"),
        ({"shape": 3, "dtype": "int8", "mode": "w"}, ValueError, "expected mode 'r', 'r+' or 'c', found 'w'"),
        ({"shape": 11, "dtype": "int8"}, FormatError, "expected 11 bytes for int8 (11,) from byte 0 on, found 10"),
        ({}, ValueError, "expected .npy or .safetensors"),
    ],
)
def test_files_that_cannot_be_mapped_are_explained(tmp_path, options, kind, message):
    before = descriptors()
    (tmp_path / "raw").write_bytes(bytes(10))
    with pytest.raises(kind, match=re.escape(message)):
        SharedTensor.open(tmp_path / "raw", **options)
    with pytest.raises(FileNotFoundError):
        SharedTensor.open(tmp_path / "absent.npy")
    gc.collect()
    assert descriptors() == before


def test_npy_files_of_what_does_not_cross_are_refused(tmp_path):
    for array, kind in ((np.array(["text"]), DTypeError), (np.zeros(2, ">f8"), DTypeError)):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(kind):
            SharedTensor.open(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros(2, [("é", "f4")]))
    with pytest.raises((FormatError, DTypeError)):
        SharedTensor.open(tmp_path / "a.npy")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
def test_damaged_files_are_errors_and_nothing_else(tmp_path_factory, suffix, data):
    from safetensors.numpy import save

    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    if suffix == "npy":
        np.save(path, numbers((2, 3)))
        content = bytearray(path.read_bytes())
    else:
        content = bytearray(save({"a": numbers((2, 3)), "b": numbers(4, "int8")}))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 130) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        tensors = SharedTensor.open_all(path) if suffix == "safetensors" else {"": SharedTensor.open(path)}
        for tensor in tensors.values():
            assert tensor.array.tobytes() is not None
    except (FormatError, DTypeError, ShapeError):
        pass


@pytest.mark.parametrize(
    "header",
    [
        b"[]", b"{", b'{"a": 1}', b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}',
        b'{"a": {"dtype": 7, "shape": [1], "data_offsets": [0, 4]}}',
    ],
)  # fmt: skip
def test_safetensors_headers_that_lie_are_errors(tmp_path, header):
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(FormatError, match=r"safetensors|expected 4"):
        SharedTensor.open_all(path)


# ---- the end --------------------------------------------------------------------------------------------------------


def test_what_was_freed_is_not_received(backing):
    tensor = SharedTensor.share(numbers(4))
    message = pickle.dumps(tensor)
    keeper = pickle.loads(message)
    tensor.free()
    late = pickle.loads(message)
    assert repr(late) == "SharedTensor(shape=(4,), dtype=float32, could not be received)"
    with pytest.raises(HandoverError, match="found it freed"):
        _ = late.array
    assert not late.closed
    assert np.array_equal(keeper.array, numbers(4))
    SharedTensor.create(3).free()


def test_a_message_is_received_once_though_its_tensor_is_closed(backing):
    tensor = SharedTensor.share(numbers(4))
    message = pickle.dumps(tensor)
    tensor.close()
    found = pickle.loads(message)
    assert np.array_equal(found.array, numbers(4))
    assert np.array_equal(pickle.loads(message).array, numbers(4))  # while somebody here has it
    del found
    with pytest.raises(HandoverError):
        _ = pickle.loads(message).array


@pytest.mark.parametrize("module", ["layout", "tensor", "manager", "ring"])
def test_the_examples_in_docstrings_run(module):
    assert doctest.testmod(import_module(f"odyssey.bridge.shared.{module}")).failed == 0


GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "shared.md"


@pytest.mark.source
@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not beside the tests")
def test_the_examples_of_the_guide_run():
    text = GUIDE.read_text()
    blocks = re.findall(r"<!-- runs -->\n```python\n(.*?)```", text, re.S)
    assert len(blocks) == text.count("```python") >= 3
    names = {"__name__": "guide"}
    for block in blocks:
        exec(block, names)
