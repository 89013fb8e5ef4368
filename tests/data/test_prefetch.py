"""The loader's threads: order, bounds, errors, and every way of leaving. Waiting is for events alone, never for time."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref

import numpy as np
import pytest

from odyssey.data import ArrayDataset, DataLoader, Dataset
from odyssey.data.prefetch import prefetched

LONG = 60  # seconds after which a test is taken to hang: never waited for when all is well


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("odyssey-data")]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()
    assert ours() == []


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 4), (2, 1), (3, 2), (2, 7), (8, 100)])
def test_results_come_in_order_whichever_thread_is_first(workers, ahead):
    """Odd numbers are held back until the next even one is done, wherever that may be in the making already."""
    done = [threading.Event() for _ in range(22)]

    def make(number):
        if number % 2 and ahead > 1 and workers > 1:
            done[number + 1].wait(LONG)
        done[number].set()
        return number

    done[21].set()
    done[20].set()
    assert list(prefetched(make, range(20), workers, ahead)) == list(range(20))


def test_no_more_is_in_memory_than_was_asked_for():
    class Result:
        pass

    alive = weakref.WeakSet()
    most = 0
    lock = threading.Lock()

    def make(number):
        nonlocal most
        with lock:
            result = Result()
            alive.add(result)
            most = max(most, len(alive))
            return result

    for result in prefetched(make, range(200), workers=3, ahead=4):
        most = max(most, len(alive))
        del result
    assert most <= 4 + 1  # and the one that is handed out


def test_work_goes_on_while_the_caller_computes():
    reached = threading.Event()

    def make(number):
        if number == 1:
            reached.set()
        return number

    batches = prefetched(make, range(9), workers=1, ahead=1)
    assert next(batches) == 0
    assert reached.wait(LONG)
    batches.close()


def test_an_error_comes_in_its_place_with_the_workers_traceback():
    class Broken(Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return self.read_sample(index)

        def read_sample(self, index):
            if index == 5:
                raise OSError("sample 5 is damaged")
            return (index,)

    batches = iter(DataLoader(Broken(), 2, workers=3))
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="sample 5 is damaged") as error:
        next(batches)
    assert "read_sample" in "".join(traceback.format_tb(error.value.__traceback__))
    assert error.value.__notes__ == ["DataLoader: while making batch 2 of epoch 0, seed 0"]


def test_an_error_ends_the_calls_that_have_not_begun():
    called = []
    held = threading.Event()

    def make(number):
        called.append(number)
        if number == 0:
            raise ValueError("no")
        held.wait(LONG)
        return number

    batches = prefetched(make, range(50), workers=2, ahead=20)
    # The error is due at once; what was begun is let go, or closing would wait for it.
    threading.Thread(target=held.set).start()
    with pytest.raises(ValueError, match="no"):
        next(batches)
    assert len(called) <= 20
    assert list(batches) == []


@pytest.mark.parametrize("leave", ["break", "close", "forget", "error"])
def test_however_an_iteration_is_left_its_threads_end(leave):
    loader = DataLoader(ArrayDataset(np.arange(1000)), 2, workers=3)
    if leave == "break":
        for _ in loader:
            break
    elif leave == "close":
        iterator = iter(loader)
        next(iterator)
        assert ours()
        iterator.close()
    elif leave == "forget":
        iterator = iter(loader)
        next(iterator)
        assert ours()
        del iterator
    else:
        with contextlib.suppress(RuntimeError):
            for _ in loader:
                raise RuntimeError
    gc.collect()
    assert ours() == []
    assert next(iter(loader))[0].tolist() == [0, 1]  # and the epoch begins anew


def test_an_iterator_that_was_never_asked_starts_no_thread():
    iterator = iter(DataLoader(ArrayDataset(np.arange(10)), 2, workers=2))
    assert ours() == []
    del iterator
    assert list(DataLoader(ArrayDataset(np.arange(0)), 2, workers=2)) == []


def test_two_iterations_at_once_do_not_mix():
    loader = DataLoader(ArrayDataset(np.arange(12)), 3, shuffle=True, workers=2)
    for (a,), (b,) in zip(loader, DataLoader(ArrayDataset(np.arange(12)), 3, shuffle=True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_callers_context_reaches_the_threads():
    def divide(batch, generator):
        return (batch[0] / np.zeros(1),)

    loader = DataLoader(ArrayDataset(np.ones(4)), 2, transform=divide, workers=2)
    with np.errstate(divide="ignore"):
        assert all(np.isinf(batch).all() for (batch,) in loader)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        list(loader)


def test_a_worker_may_use_a_loader_of_its_own():
    def make(number):
        return sum(prefetched(lambda n: n, range(number), 2, 2))

    assert list(prefetched(make, range(6), 2, 3)) == [0, 0, 1, 3, 6, 10]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_forked_child_goes_on_with_the_iteration_of_its_parent(taken):
    loader = DataLoader(ArrayDataset(np.arange(40)), 4, shuffle=True, seed=1, workers=2)
    expected = [b.tolist() for (b,) in DataLoader(ArrayDataset(np.arange(40)), 4, shuffle=True, seed=1)]
    iterator = iter(loader)
    for _ in range(taken):
        next(iterator)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(LONG)
            status = 0 if [b.tolist() for (b,) in iterator] == expected[taken:] and ours() == [] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [b.tolist() for (b,) in iterator] == expected[taken:]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_that_leaves_the_iteration_does_not_hang():
    iterator = iter(DataLoader(ArrayDataset(np.arange(40)), 4, workers=2))
    next(iterator)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(LONG)
            iterator.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    iterator.close()


PROGRAM = """
import os, signal, sys, threading
import numpy as np
from odyssey.data import ArrayDataset, DataLoader

signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt(batch, generator):
    if batch[0][0] == 6 and sys.argv[1] == "interrupt":
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    return batch

def alive():
    return [t for t in threading.enumerate() if t.name.startswith("odyssey-data")]

iterator = iter(DataLoader(ArrayDataset(np.arange(100)), 2, transform=interrupt, workers=2, prefetch=8))
try:
    next(iterator)
    if sys.argv[1] == "interrupt":
        for batch in iterator:
            pass
except KeyboardInterrupt:
    iterator.close()
    print("interrupted", len(alive()))
else:
    print("left", len(alive()))  # and the process ends with the iterator half used
"""


@pytest.mark.parametrize(("how", "printed"), [("interrupt", "interrupted 0"), ("exit", "left 2")])
def test_an_interrupted_or_ending_process_does_not_hang(how, printed):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=LONG)
    assert done.stdout.split() == printed.split(), done.stderr
    assert done.returncode == 0
    assert done.stderr == ""


def test_senseless_settings_are_refused():
    for options in ({"workers": -1}, {"workers": 1, "prefetch": 0}):
        with pytest.raises(ValueError, match="workers from 0 and prefetch from 1"):
            DataLoader(ArrayDataset(np.arange(4)), 2, **options)
