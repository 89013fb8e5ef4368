"""The pool: right results from many threads at once, in forked children, and under limits; no deadlock."""

import faulthandler
import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import odyssey as od
from odyssey.testing import CASES, Call, Sample

LARGE = 1 << 20


def doubled(seed: int) -> bool:
    x = np.random.default_rng(seed).standard_normal(LARGE).astype(np.float32)
    return bool(np.array_equal(od.add(x, x), x + x))


def test_limit_holds_inside_the_block_and_is_undone_after() -> None:
    before = od.threads.count()
    with od.threads.limit(before + 3):
        assert od.threads.count() == before + 3
        assert doubled(0)
    assert od.threads.count() == before


def test_fewer_than_one_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1, found 0"):
        od.threads.set_count(0)


def test_more_threads_than_processors_compute_the_same() -> None:
    with od.threads.limit(4 * (os.cpu_count() or 1)):
        assert all(doubled(seed) for seed in range(20))


def test_many_python_threads_call_kernels_at_once() -> None:
    with ThreadPoolExecutor(10) as workers:
        assert all(workers.map(doubled, range(200)))


def test_products_from_many_threads_share_no_scratch() -> None:
    def right(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((150, 90)), rng.standard_normal((90, 210))
        return bool(np.allclose(od.matmul(a, b), a @ b, rtol=1e-12, atol=1e-12))

    with ThreadPoolExecutor(10) as workers:
        assert all(workers.map(right, range(100)))


def test_a_forked_child_computes_with_threads_of_its_own() -> None:
    code = """
        import os, numpy as np, odyssey as od
        od.threads.set_count(3)
        x = np.ones(1 << 20, np.float32)
        for _ in range(3):
            assert (od.add(x, x) == 2).all()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                good = (od.add(x, x) == 2).all() and od.threads.count() == 3
                os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert (od.add(x, x) == 2).all()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120)


def test_forking_while_other_threads_compute_does_not_hang() -> None:
    code = """
        import os, threading, numpy as np, odyssey as od
        od.threads.set_count(3)
        x = np.ones(1 << 18, np.float32)
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                od.add(x, x)
        workers = [threading.Thread(target=busy) for _ in range(3)]
        for w in workers: w.start()
        for _ in range(30):
            child = os.fork()
            if child == 0:
                os._exit(0 if (od.add(x, x) == 2).all() else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for w in workers: w.join()
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=True, timeout=120)


def test_multiprocessing_by_fork() -> None:
    assert doubled(0)
    with multiprocessing.get_context("fork").Pool(3) as processes:
        assert all(processes.map(doubled, range(12)))


# ---- ten Python threads with arrays of their own, over every operation there is -----------------------------------------

THREADS = 10


def large_call(op: str, seed: int) -> Call:
    """The largest call of a row's test sizes: one that threads share where the row has such a size."""
    case = CASES[op]
    sample = Sample((case.large or case.sizes)[-1], case.options[0], "normal", "float32")
    return case.draw(sample, seed)


def bits(op: str, seed: int) -> bytes:
    with np.errstate(all="ignore"):
        return b"".join(result.tobytes() for result in CASES[op].run(od, large_call(op, seed)))


def agree(seed: int) -> list[str]:
    """The operations whose results from ten threads at once are not the bits of one thread alone."""
    ops = list(CASES)
    with od.threads.limit(1):
        expected = {op: bits(op, seed) for op in ops}
    with od.threads.limit(3), ThreadPoolExecutor(THREADS) as workers:
        # Each thread begins elsewhere, so that different operations meet.
        turns = [ops[i * len(ops) // THREADS :] + ops[: i * len(ops) // THREADS] for i in range(THREADS)]
        found = workers.map(lambda turn: [op for op in turn if bits(op, seed) != expected[op]], turns)
        return sorted({op for wrong in found for op in wrong})


def in_a_forked_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            faulthandler.dump_traceback_later(100, exit=True)
            status = 1 if work() else 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_ten_threads_get_the_bits_of_one() -> None:
    assert agree(1) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ten_threads_of_a_forked_child_do_too() -> None:
    assert agree(2) == []  # the parent's pool has worked, and its memory waits in the cache
    assert in_a_forked_child(lambda: agree(3)) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ten_threads_under_multiprocessing_by_fork_do_too() -> None:
    assert agree(4) == []
    with multiprocessing.get_context("fork").Pool(2) as processes:
        assert processes.map(agree, [5, 6]) == [[], []]


def test_forking_while_tasks_take_memory_does_not_hang() -> None:
    # A task waits for the block cache's lock, fork for the task: the order in which fork takes the locks decides.
    code = """
        import os, signal, threading, numpy as np, odyssey as od
        od.threads.set_count(2)
        a = np.ones((200, 3, 40, 40), np.float32)[:, :, ::2, ::2]
        w = np.ones((8, 3, 3, 3), np.float32)
        def work():
            od.matmul(a, a.swapaxes(2, 3)); od.conv2d(a, w); od.softmax(a, axis=1); od.exp(a)
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                work()
        workers = [threading.Thread(target=busy) for _ in range(4)]
        for w_ in workers: w_.start()
        for _ in range(60):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                work()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        for w_ in workers: w_.join()
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=True, timeout=120)


def test_threadpoolctl_sees_and_limits_the_pool() -> None:
    with od.threads.limit(3):
        (ours,) = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "odyssey"]
        assert ours["num_threads"] == 3
        with threadpoolctl.threadpool_limits(1, user_api="odyssey"):
            assert od.threads.count() == 1
        assert od.threads.count() == 3


def test_the_environment_sets_the_count() -> None:
    code = "import odyssey as od; print(od.threads.count())"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ODYSSEY_NUM_THREADS": "5"}, capture_output=True, check=True
    )
    assert result.stdout.strip() == b"5"


def test_affinity_bounds_the_default() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import odyssey as od; print(od.threads.count())"
    environment = {key: value for key, value in os.environ.items() if key != "ODYSSEY_NUM_THREADS"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert result.stdout.strip() == b"1"


def test_large_results_reuse_freed_memory() -> None:
    od.memory.trim()
    x = np.ones(LARGE, np.float32)
    first = od.add(x, x)
    address = first.ctypes.data
    assert address % 64 == 0
    del first
    assert od.memory.cached_bytes() >= x.nbytes
    assert od.add(x, x).ctypes.data == address
    od.memory.trim()
    assert od.memory.cached_bytes() == 0


def test_a_result_outlives_the_names_that_held_it() -> None:
    x = np.ones(LARGE, np.float32)
    view = od.add(x, x)[10:20]
    others = [od.add(x, x) for _ in range(4)]
    assert (view == 2).all()
    assert len({other.ctypes.data for other in others} | {view.ctypes.data}) == 5


def test_results_do_not_depend_on_who_finds_the_pool_busy() -> None:
    x = np.random.default_rng(1).standard_normal((300, 200)).astype(np.float32)
    alone = od.matmul(x, x.T)
    with ThreadPoolExecutor(6) as workers:
        for result in workers.map(lambda _: od.matmul(x, x.T), range(50)):
            assert np.array_equal(result, alone)


@pytest.mark.parametrize("name", ["", "sse9"])
def test_an_unknown_instruction_set_in_the_environment_is_named(name: str) -> None:
    environment = {**os.environ, "ODYSSEY_ISA": name}
    result = subprocess.run(
        [sys.executable, "-c", "import odyssey"], env=environment, capture_output=True, text=True, check=False
    )
    if name:
        assert result.returncode != 0
        assert "ODYSSEY_ISA: expected one of" in result.stderr
        assert "'sse9'" in result.stderr
    else:
        assert result.returncode == 0
