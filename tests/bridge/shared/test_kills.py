"""kill -9 of any party at any step: who is left has valid data, waits for nobody, and nothing stays behind."""

import contextlib
import gc
import multiprocessing as mp
import os
import pickle
import queue
import random
import select
import signal
import socket
import sys
import threading
import time

import numpy as np
import pytest

from odyssey.bridge.shared import HandoverError, SharedMemoryManager, SharedRing, SharedTensor, WorkerDied, handover

from . import work

PATIENCE = 15
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is left is looked up in /proc and /dev/shm"),
]


def kill_here():
    os.kill(os.getpid(), signal.SIGKILL)


def child(function, *arguments):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function(*arguments)
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def left():
    return sorted(os.listdir("/dev/shm")), len(os.listdir("/proc/self/fd"))


def no_more_than(before):
    """What a test before this one left may go meanwhile; nothing may come."""
    names, descriptors = left()
    return set(names) <= set(before[0]) and descriptors <= before[1]


@pytest.fixture
def nothing_left():
    gc.collect()
    handover.rest()
    before = left()
    yield
    handover.rest()
    patience = time.monotonic() + PATIENCE
    while not no_more_than(before) and time.monotonic() < patience:
        gc.collect()
        handover.rest()
    assert no_more_than(before), (left(), before)


def at(step, wanted):
    if step == wanted:
        kill_here()


SENDER = ["begun", "made", "filled", "pickled", "sent", "closed"]


@pytest.mark.parametrize("step", SENDER)
@pytest.mark.parametrize("with_manager", [False, True])
def test_a_sender_is_killed(step, with_manager, nothing_left):
    manager = SharedMemoryManager() if with_manager else None
    ours, theirs = mp.Pipe()

    def send():
        ours.close()
        at("begun", step)
        tensor = manager.allocate(None, 1000) if manager else SharedTensor.create(1000)
        at("made", step)
        tensor[:] = 7
        at("filled", step)
        message = pickle.dumps(tensor)
        at("pickled", step)
        theirs.send_bytes(message)
        at("sent", step)
        tensor.close()
        at("closed", step)

    pid = child(send)
    theirs.close()
    assert ended(pid) == -signal.SIGKILL
    if SENDER.index(step) < SENDER.index("sent"):
        with pytest.raises(EOFError):
            ours.recv()
    elif manager:
        assert np.array_equal(ours.recv().array, np.full(1000, 7, np.float32))
    else:
        with pytest.raises(HandoverError, match="has ended"):
            _ = ours.recv().array
    ours.close()
    if manager:
        manager.close()


@pytest.mark.parametrize("step", ["made", "sent"])
def test_who_sends_over_a_socket_is_killed(step, nothing_left):
    ours, theirs = socket.socketpair()

    def send():
        ours.close()
        tensor = SharedTensor.create(1000)
        tensor[:] = 7
        at("made", step)
        tensor.send(theirs)
        at("sent", step)

    with ours:
        with theirs:
            pid = child(send)
        assert ended(pid) == -signal.SIGKILL
        if step == "made":
            with pytest.raises(EOFError):
                SharedTensor.receive(ours)
        else:
            assert np.array_equal(SharedTensor.receive(ours).array, np.full(1000, 7, np.float32))


@pytest.mark.parametrize("step", ["begun", "message", "received", "mapped", "written", "asked", "named"])
def test_a_receiver_is_killed(step, nothing_left):
    with SharedMemoryManager() as manager:
        tensor = manager.share("a", np.arange(1000, dtype=np.float32))
        ours, theirs = mp.Pipe()

        def receive():
            ours.close()
            at("begun", step)
            message = theirs.recv_bytes()
            at("message", step)
            found = pickle.loads(message)
            at("received", step)
            array = found.array
            at("mapped", step)
            array[:500] = -1
            at("written", step)
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(manager._where)
                line.sendall(b"\0" * 10)
                at("asked", step)
            manager.allocate("b", 10)
            at("named", step)

        pid = child(receive)
        theirs.close()
        with contextlib.suppress(BrokenPipeError):  # it may be dead already
            ours.send(tensor)
        assert ended(pid) == -signal.SIGKILL
        ours.close()
        assert np.array_equal(tensor[500:], np.arange(500, 1000, dtype=np.float32))
        assert np.array_equal(manager["a"].array, tensor.array)
        assert ("b" in manager) == (step == "named")


@pytest.mark.parametrize("step", ["made", "named", "sent", "held"])
def test_the_process_of_a_manager_is_killed(step, nothing_left):
    ours, theirs = mp.Pipe()

    def own():
        ours.close()
        manager = SharedMemoryManager()
        theirs.send(manager)
        at("made", step)
        tensor = manager.share("a", np.full(100, 7, np.float32))
        at("named", step)
        theirs.send(tensor)
        at("sent", step)
        theirs.recv()
        at("held", step)

    pid = child(own)
    theirs.close()
    manager = ours.recv()
    kept = None
    if step == "held":
        kept = ours.recv()
        assert kept[0] == 7
        ours.send(None)
    assert ended(pid) == -signal.SIGKILL
    for ask in (
        lambda: list(manager),
        lambda: manager["a"],
        lambda: manager.allocate("b", 3),
        lambda: manager.free("a"),
    ):
        with pytest.raises(HandoverError, match="has ended"):
            ask()
    if step == "sent":
        with pytest.raises(HandoverError, match="has ended"):
            _ = ours.recv().array
    if kept is not None:
        assert np.array_equal(kept.array, np.full(100, 7, np.float32))
        assert pickle.loads(pickle.dumps(kept)).inode == kept.inode
    ours.close()
    manager.close()


# ---- at random ------------------------------------------------------------------------------------------------------


class Killer:
    """Kills from a thread of its own, after so many microseconds."""

    def __init__(self):
        self.orders = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while (order := self.orders.get()) is not None:
            pid, microseconds = order
            end = time.perf_counter() + microseconds * 1e-6
            while time.perf_counter() < end:
                time.sleep(0)
            os.kill(pid, signal.SIGKILL)

    def stop(self):
        self.orders.put(None)
        self.thread.join(PATIENCE)


@pytest.fixture
def killer():
    killer = Killer()
    yield killer
    killer.stop()


ROUNDS = 500


def check(tensor):
    """A tensor that came over is whole, or says who is gone."""
    try:
        array = tensor.array
    except HandoverError:
        return
    assert array.size == 64
    assert np.all(array == array[0])
    assert array[0] in (3, 5)


def busy_worker(manager, line, turn):
    count = 0
    while True:
        count += 1
        name = f"w{turn}-{count}"  # a killed worker's request may be answered after the next one has begun
        named = manager.allocate(name, 64)
        named[:] = 4
        line.send(manager.share(None, np.full(64, 5, np.float32)))
        assert manager["base"][0] == 1
        line.send(SharedTensor.share(np.full(64, 3, np.float32), readonly=True))
        named.close()
        manager.free(name)


def test_500_workers_are_killed_at_random(killer, nothing_left):
    chance = random.Random(0)
    received = 0
    with SharedMemoryManager() as manager:
        base = manager.share("base", np.ones(64, np.float32))
        for turn in range(ROUNDS):
            ours, theirs = mp.Pipe(duplex=False)
            pid = child(busy_worker, manager, theirs, turn)
            theirs.close()
            killer.orders.put((pid, chance.randrange(2500)))
            try:
                while True:
                    check(ours.recv())
                    received += 1
            except EOFError:
                pass
            assert ended(pid) == -signal.SIGKILL
            ours.close()
            for name in list(manager):
                if name != "base":
                    assert manager[name].shape == (64,)
                    manager.free(name)
            assert np.array_equal(manager["base"].array, np.ones(64, np.float32))
        assert np.array_equal(base.array, np.ones(64, np.float32))
    assert received


def busy_owner(line):
    manager = SharedMemoryManager()
    base = manager.share("base", np.full(64, 3, np.float32))
    line.send((manager, base))
    count = 0
    while True:
        count += 1
        manager.share(f"o{count}", np.full(64, 5, np.float32))
        line.send(base.readonly())
        if count > 4:
            manager.free(f"o{count - 4}")


def test_500_owners_are_killed_at_random(killer, nothing_left):
    chance = random.Random(1)
    kept = []
    for _ in range(ROUNDS):
        ours, theirs = mp.Pipe(duplex=False)
        pid = child(busy_owner, theirs)
        theirs.close()
        killer.orders.put((pid, chance.randrange(2500)))
        try:
            manager, base = ours.recv()
            check(base)
            while True:
                for name in list(manager):
                    with contextlib.suppress(KeyError):
                        check(manager[name])
                check(manager.share(None, np.full(64, 5, np.float32)))
                check(ours.recv())
        except EOFError:
            pass
        except HandoverError:
            if base._memory is not None:
                kept.append(base)
        assert ended(pid) == -signal.SIGKILL
        ours.close()
    assert kept
    for base in kept:
        assert np.all(base.array == 3)
    del base, kept, manager


# ---- rings ----------------------------------------------------------------------------------------------------------


def test_workers_of_a_ring_are_killed_at_random_and_no_batch_is_lost_or_doubled(nothing_left):
    chance = random.Random(2)
    ring = SharedRing(5, {"x": ((64,), "float32"), "y": ((3,), "int64")})
    found = []
    with ring.feed(work.fill, range(100, 3100), workers=2, hold=2, restarts=100, context="fork") as feed:
        for batch in feed:
            assert np.all(batch["x"] == batch.number)
            assert np.all(batch["y"] == -batch.number)
            found.append(batch.number)
            if chance.random() < 0.02:
                os.kill(chance.choice(feed.pids), signal.SIGKILL)
        killed = feed.restarted
    assert found == list(range(100, 3100))
    assert killed > 20
    del ring, feed, batch


def test_a_worker_that_dies_every_time_is_an_error_after_all_before_it(nothing_left):
    ring = SharedRing(4, {"x": (2, "float32")})
    for fill, code in ((work.die, -signal.SIGKILL), (work.leave, 7)):
        feed = ring.feed(fill, range(10), restarts=2, context="fork")
        found = []
        with pytest.raises(WorkerDied, match=r"for the 3. time") as raised:
            found.extend(batch.number for batch in feed)
        assert found == list(range(3 if fill is work.die else 0))
        assert (raised.value.batch_id, raised.value.exitcode) == (len(found), code)
        assert feed.closed
        assert feed.pids == []
    del ring, feed, raised


def test_the_workers_of_a_killed_consumer_end(nothing_left):
    ours, theirs = mp.Pipe()

    def consume():
        ring = SharedRing(3, {"x": (2, "float32")})
        feed = ring.feed(work.die, range(3), workers=2, context="fork")
        next(feed)
        theirs.send(feed.pids)
        signal.pause()

    pid = child(consume)
    watched = [os.pidfd_open(worker) for worker in ours.recv()]
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    for descriptor in watched:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(1000 * PATIENCE)
        os.close(descriptor)
    ours.close()
    theirs.close()
