"""Aligned arrays, and the pool of scratch memory: alignment, statistics, exhaustion, growth, and use after release."""

import threading

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import LayoutError
from odyssey.memory_pool import PoolExhausted, UseAfterRelease


@pytest.mark.parametrize("alignment", [1, 16, 64, 4096])
def test_aligned_empty_is_aligned_and_writable(alignment):
    for shape in (0, 7, (3, 5), ()):
        array = od.aligned_empty(shape, np.float64, alignment)
        assert array.size == 0 or array.ctypes.data % alignment == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.shape == np.empty(shape).shape
    with pytest.raises(LayoutError, match="power of two, found 48"):
        od.aligned_empty(3, alignment=48)


@pytest.mark.parametrize("debug", [False, True])
def test_arrays_are_aligned_and_apart_and_released_memory_serves_again(debug):
    pool = od.MemoryPool(1 << 14, debug=debug)
    arrays = [pool.acquire((3, n), np.float32) for n in (1, 5, 17, 100)]
    for i, array in enumerate(arrays):
        array[...] = i
    assert all((array == i).all() and array.ctypes.data % 64 == 0 for i, array in enumerate(arrays))
    assert pool.statistics()["on_loan"] == 4
    for i in (1, 3, 0, 2):
        pool.release(arrays[i])
    found = pool.statistics()
    assert found["in_use"] == 0
    assert found["largest_free"] == found["capacity"]
    assert found["most"] > 0
    before = od.MemoryPool(1024)
    first = before.acquire(256)
    address = first.ctypes.data
    before.release(first)
    assert before.acquire(256).ctypes.data == address


def test_exhaustion_is_an_error_or_growth_as_asked():
    pool = od.MemoryPool(1024)
    held = pool.acquire(200)
    with pytest.raises(PoolExhausted, match="grow=True"):
        pool.acquire(200)
    assert isinstance(PoolExhausted(), MemoryError)
    assert pool.statistics()["exhausted"] == 1
    pool.release(held)
    pool.acquire(200)
    growing = od.MemoryPool(1024, grow=True)
    arrays = [growing.acquire(200) for _ in range(5)]
    assert growing.statistics()["grown"] == 4
    assert growing.statistics()["blocks"] == 5
    for array in arrays:
        growing.release(array)


def test_release_twice_or_of_another_array_is_refused():
    pool = od.MemoryPool(1024)
    array = pool.acquire(10)
    pool.release(array)
    for wrong in (array, np.zeros(3)):
        with pytest.raises(UseAfterRelease, match="on loan"):
            pool.release(wrong)


def test_debug_mode_catches_use_after_release():
    pool = od.MemoryPool(4096, debug=True)
    array = pool.acquire((4, 4))
    array[...] = 1
    view, raw = array[1:], np.ndarray.view(array, np.ndarray)
    pool.release(array)
    for use in (
        lambda: array + 1,
        lambda: array[0],
        lambda: view.sum(),
        lambda: np.add(1, 1, out=view),
        lambda: od.exp(array),
    ):
        with pytest.raises(UseAfterRelease, match="after its release"):
            use()
    assert np.isnan(raw).all()
    raw[2, 2] = 5  # past all that Python sees
    with pytest.raises(UseAfterRelease, match="released memory was written"):
        pool.check()
    pool.check()
    raw[0, 0] = 5
    with pytest.raises(UseAfterRelease, match="released memory was written"):
        pool.acquire((4, 4))


def test_debug_mode_catches_writes_beyond_the_ends():
    pool = od.MemoryPool(4096, debug=True)
    array = pool.acquire(4)
    beyond = np.lib.stride_tricks.as_strided(np.ndarray.view(array, np.ndarray), shape=(5,))
    beyond[4] = 1
    with pytest.raises(UseAfterRelease, match="beyond its ends"):
        pool.release(array)


def test_threads_share_a_pool():
    pool, failures = od.MemoryPool(1 << 16), []

    def work(number):
        for _ in range(200):
            with pool.borrow(50) as scratch:
                scratch[...] = number
                if not (scratch == number).all():
                    failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert pool.statistics()["in_use"] == 0
    assert pool.statistics()["acquired"] == 800


def test_without_debugging_nothing_is_watched_and_closing_forgets():
    pool = od.MemoryPool(1 << 12)
    array = pool.acquire(10)
    assert type(array) is np.ndarray
    pool.check()
    pool.close()
    assert pool.statistics()["blocks"] == 0
    array[...] = 1  # on loan: still valid
    with pytest.raises(ValueError, match="at least 1 byte, found 0"):
        od.MemoryPool(0)


def test_a_watched_array_computes_and_says_when_it_is_late():
    pool = od.MemoryPool(1 << 12, debug=True)
    a = pool.acquire(8)
    a[...] = 3
    np.add(a, 1, out=a)
    view = a.view(np.uint8)
    assert (np.asarray(a) == 4).all()
    pool.release(a)
    for use in (lambda: a + 1, lambda: a[0], lambda: a.view(np.int32), lambda: view[0]):
        with pytest.raises(UseAfterRelease, match="after its release"):
            use()
