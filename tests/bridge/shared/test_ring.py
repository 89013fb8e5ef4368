"""A ring's batches come in the order of their numbers, each once, made by workers, whatever becomes of those."""

import gc
import itertools
import multiprocessing as mp
import os
import pickle
import re
import select
import signal
import threading

import numpy as np
import pytest

from odyssey.bridge.shared import SharedRing, ring
from odyssey.bridge.stream import Stream

from . import work

PATIENCE = 15
FIELDS = {"x": ((2, 4), "float32"), "y": (3, "int64")}
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def read(feed):
    return [(batch.number, float(batch["x"][0, 0]), int(batch["y"][-1])) for batch in feed]


@pytest.mark.parametrize("context", ["fork", "spawn", mp.get_context("forkserver")])
def test_batches_come_in_order(context):
    feed = SharedRing(4, FIELDS).feed(work.fill, range(20), workers=2, context=context, timeout=PATIENCE)
    assert read(feed) == [(number, number, -number) for number in range(20)]
    assert (feed.delivered, feed.restarted, feed.closed) == (20, 0, True)
    assert feed.waited > 0
    assert list(feed) == []


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("slots", [2, 5])
def test_numbers_may_be_any_and_endless(workers, slots, backing):
    shared = SharedRing(slots, FIELDS)
    with shared.feed(work.fill, itertools.count(1000, 7), workers=workers, context="fork") as feed:
        assert [batch.number for batch, _ in zip(feed, range(10), strict=False)] == list(range(1000, 1070, 7))
    assert read(shared.feed(work.fill, [3, 1, 1, 2], context="fork")) == [(n, n, -n) for n in (3, 1, 1, 2)]
    assert list(shared.feed(work.fill, [], context="fork")) == []


def test_the_arrays_of_a_slot_are_aligned_and_apart():
    shared = SharedRing(2, {"a": (3, "int8"), "b": (1, "float64"), "none": (0, "float32")})
    spans = sorted(
        (tensor.array.ctypes.data, tensor.array.ctypes.data + tensor.nbytes)
        for slot in shared.slots
        for tensor in slot.values()
        if tensor.nbytes
    )
    assert all(start % 64 == 0 for start, _ in spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert len(shared) == 2


def test_a_batch_may_have_fewer_rows():
    (batch,) = SharedRing(2, FIELDS).feed(work.fill, [9], context="fork")
    assert (batch["x"].shape, batch["y"].shape) == ((1, 4), (1,))
    assert batch.nbytes == 24


def test_a_batch_stays_until_it_is_released():
    feed = SharedRing(4, FIELDS).feed(work.fill, range(40), hold=3, context="fork")
    held = []
    for batch in feed:
        held = [*held[-2:], batch]
        assert [float(one["x"][0, 0]) for one in held] == [one.number for one in held]
    with held[-1]:
        pass
    held[-1].release()
    assert held[-1].arrays == {}


def test_slots_may_be_released_by_another_thread():
    feed = SharedRing(3, FIELDS).feed(work.fill, range(200), hold=2, context="fork")
    for batch in feed:
        thread = threading.Thread(target=batch.release)
        thread.start()
        thread.join(PATIENCE)
    assert feed.delivered == 200
    batch.release()


def test_a_stream_reads_a_ring():
    feed = SharedRing(5, FIELDS).feed(work.fill, range(50), hold=4, context="fork")
    stream = Stream(feed, lambda batch: float(batch.x["x"].min()), maxsize=2, workers=1)
    assert list(stream) == list(range(50))
    assert stream.stats.bytes == 49 * 56 + 24


@pytest.mark.parametrize(
    ("fill", "before", "kind", "message"),
    [
        (work.fail, 3, KeyError, "'three'"),
        (work.stop, 3, RuntimeError, "fill raised StopIteration"),
        (work.fail_oddly, 0, RuntimeError, "Unpicklable: 1 and 2"),
    ],
)
def test_an_exception_in_a_worker_comes_in_its_place(fill, before, kind, message):
    feed = SharedRing(4, FIELDS).feed(fill, range(10), workers=2, context="fork")
    found = []
    with pytest.raises(kind, match=message) as raised:
        found.extend(batch.number for batch in feed)
    assert found == list(range(before))
    assert raised.value.batch_id == before
    assert f"in a worker of the ring, at batch {before}" in raised.value.__notes__
    assert feed.closed


def raise_late(number, slot):
    raise TimeoutError("of its own")


def test_a_timeout_of_the_worker_is_not_one_of_the_consumer():
    feed = SharedRing(2, FIELDS).feed(raise_late, range(3), context="fork")
    with pytest.raises(TimeoutError, match="of its own"):
        next(feed)
    assert feed.closed


def test_a_worker_that_hangs_is_waited_for_as_long_as_was_said_and_then_killed(monkeypatch):
    monkeypatch.setattr(ring, "GRACE", 0.01)
    feed = SharedRing(3, FIELDS).feed(work.hang, range(3), timeout=PATIENCE, context="fork")
    assert next(feed).number == 0
    feed._timeout = 0.02
    for _ in range(2):
        with pytest.raises(TimeoutError, match=r"expected batch 1 within 0.02 s"):
            next(feed)
    (pid,) = feed.pids
    feed.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_ctrl_c_ends_the_workers_through_their_consumer(monkeypatch):
    feed = SharedRing(3, FIELDS).feed(work.hang, range(3), context="fork")
    assert next(feed).number == 0
    (pid,) = feed.pids
    os.kill(pid, signal.SIGINT)  # the worker does not mind

    class Poll:
        def register(self, *_):
            pass

        def poll(self, *_):
            signal.raise_signal(signal.SIGINT)
            return []

    monkeypatch.setattr(ring, "GRACE", 0.01)
    monkeypatch.setattr(ring.select, "poll", Poll)
    with pytest.raises(KeyboardInterrupt):
        next(feed)
    assert feed.closed
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_feed_that_is_forgotten_ends_its_workers():
    batch = next(SharedRing(3, FIELDS).feed(work.fill, range(10), context="fork"))
    gc.collect()
    assert not [process for process in mp.active_children() if process.name == "odyssey-ring"]
    assert float(batch["x"][0, 0]) == 0  # the memory stays for who has it
    batch.release()


def test_a_fork_of_the_consumer_is_told():
    feed = SharedRing(3, FIELDS).feed(work.fill, range(10), context="fork")
    assert next(feed).number == 0
    child = os.fork()
    if not child:
        code = 1
        try:
            next(feed)
        except RuntimeError as error:
            code = 0 if "found a fork of it" in str(error) else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(read(feed)) == 9


def test_a_worker_that_cannot_be_started_is_the_callers_error():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        SharedRing(3, FIELDS).feed(lambda number, slot: None, range(3), context="spawn")


def test_without_pidfds_the_sockets_tell(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    feed = SharedRing(3, FIELDS).feed(work.fill, range(300), restarts=50, context="fork")
    found = []
    for batch in feed:
        found.append(batch.number)
        if batch.number in (50, 100):
            os.kill(feed.pids[0], signal.SIGKILL)
    assert found == list(range(300))
    assert feed.restarted == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SharedRing(0, FIELDS), "expected 1 slot or more"),
        (lambda: SharedRing(2, {}), "with fields"),
        (lambda: SharedRing(2, FIELDS).feed(work.fill, [], workers=0), "workers >= 1"),
        (lambda: SharedRing(2, FIELDS).feed(work.fill, [], hold=2), "1 <= hold < 2 slots"),
        (lambda: SharedRing(2, FIELDS).feed(work.fill, [], restarts=-1), "restarts >= 0"),
    ],
)
def test_wrong_arguments_are_explained(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


# ---- the worker's side, in this process -----------------------------------------------------------------------------


def served(fill, tickets, monkeypatch, parent=-1):
    """What a worker answers; its function runs in a thread here, where it can be watched."""
    monkeypatch.setattr(ring.signal, "signal", lambda *_: None)
    monkeypatch.setattr(ring, "_pidfd", lambda process: parent)
    ours, theirs = ring.socket.socketpair()
    other, unused = ring.socket.socketpair()
    unused.close()
    shared = SharedRing(2, FIELDS)
    thread = threading.Thread(target=ring._serve, args=(theirs, [other], shared.slots, fill))
    with ours:
        for ticket in tickets:
            ours.sendall(ticket)
        if parent < 0:
            ours.shutdown(ring.socket.SHUT_WR)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        ours.setblocking(False)
        try:
            return ours.recv(1 << 16), shared
        except ConnectionResetError:
            return b"", shared


def test_a_worker_fills_and_answers(monkeypatch):
    tickets = [ring._TICKET.pack(0, slot, number, -1) for slot, number in ((1, 5), (0, 9))]
    answer, shared = served(work.fill, tickets, monkeypatch)
    assert [ring._TICKET.unpack_from(answer, at) for at in (0, 24)] == [(0, 1, 5, -1), (0, 0, 9, 1)]
    assert np.all(shared.slots[1]["x"].array == 5)


def test_a_worker_sends_what_it_raised(monkeypatch):
    answer, _ = served(work.fail, [ring._TICKET.pack(0, 0, 3, -1)], monkeypatch)
    length, slot, number, _ = ring._TICKET.unpack_from(answer)
    assert (slot, number, type(ring._error(answer[24 : 24 + length], number))) == (0, 3, KeyError)
    assert "cannot be unpickled here" in str(ring._error(b"nonsense", 3))


def test_a_worker_ends_when_its_parent_has(monkeypatch):
    reading, writing = os.pipe()
    os.close(writing)  # readable from now on, as the pidfd of a process that has ended
    answer, _ = served(work.fill, [ring._TICKET.pack(0, 0, 3, -1)], monkeypatch, reading)
    assert answer == b""
    os.close(reading)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="pidfds are Linux's")
def test_a_pidfd_is_readable_when_the_process_has_ended():
    child = os.fork()
    if not child:
        signal.pause()
    descriptor = ring._pidfd(child)
    assert not ring._readable(descriptor)
    os.kill(child, signal.SIGKILL)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(1000 * PATIENCE)
    assert ring._readable(descriptor)
    os.waitpid(child, 0)
    os.close(descriptor)
    assert ring._pidfd(child) == ring._pidfd(None) == -1
