"""A tensor reaches other processes by every way that Python has, and what they were given outlives the one who gave it."""

import gc
import multiprocessing as mp
import os
import pickle
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from odyssey.bridge.shared import HandoverError, SharedMemoryManager, SharedTensor, handover
from odyssey.bridge.shared.handover import Request

from . import work

PATIENCE = 15
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def numbers(count=4):
    return np.arange(count, dtype=np.float32)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def settled(count):
    """Whether so few descriptors are open, once the thread that listens has closed what it is closing."""
    patience = time.monotonic() + PATIENCE
    while descriptors() != count and time.monotonic() < patience:
        time.sleep(0)
    return descriptors() == count


def child(function, *arguments):
    """Call a function in a fork; its process id."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function(*arguments)
            code = 0
        except SystemExit as end:
            code = int(end.code)
        finally:
            os._exit(code)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_tensors_travel_as_arguments_and_results_and_in_queues(method):
    context = mp.get_context(method)
    tensor = SharedTensor.share(numbers())
    with SharedMemoryManager() as manager:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(work.double, tensor).result(PATIENCE).inode == tensor.inode
            assert np.array_equal(tensor.array, 2 * numbers())
            assert pool.submit(work.made, 3).result(PATIENCE).array.tolist() == [3, 3, 3]
            anonymous = pool.submit(work.made_by, manager, 5).result(PATIENCE)
            taken, names, values = pool.submit(work.named_by, manager, "a").result(PATIENCE)
            assert "found 'a' taken" in taken
            assert (names, values) == (["a"], [7, 7, 7, 7])
        assert anonymous.array.tolist() == [5] * 5
        assert np.array_equal(manager["a"].array, np.full(4, 7, np.float32))  # though who made it has ended
        queue = context.Queue()
        process = context.Process(target=work.put, args=(queue, tensor))
        process.start()
        reader, part = queue.get(timeout=PATIENCE), queue.get(timeout=PATIENCE)
        assert (reader.writable, reader.inode, part.shape) == (False, tensor.inode, (2,))
        process.join(PATIENCE)
        queue.close()
        queue.join_thread()


def test_a_pool_sends_tensors_both_ways():
    tensor = SharedTensor.share(numbers())
    with mp.get_context("fork").Pool(2) as pool:
        assert [found.array.tolist() for found in pool.map(work.made, [1, 2])] == [[1], [2, 2]]
        assert all(found.inode == tensor.inode for found in pool.map(work.double, [tensor] * 3))
    assert np.array_equal(tensor.array, 8 * numbers())


def test_a_worker_that_ends_at_once_has_left_its_result_with_the_manager():
    with SharedMemoryManager() as manager, mp.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        found = pool.starmap(work.made_by, [(manager, count) for count in (1, 2, 3)])
        assert [tensor.array.tolist() for tensor in found] == [[1], [2, 2], [3, 3, 3]]


def test_a_fork_has_the_tensor_itself(backing):
    tensor = SharedTensor.share(numbers())
    assert ended(child(lambda: tensor.array.__setitem__(0, 9))) == 0
    assert tensor[0] == 9


def test_a_fork_hands_on_what_its_parent_made(backing):
    tensor, ours = SharedTensor.share(numbers()), mp.Pipe()
    before = pickle.dumps(tensor)
    for _ in range(2):
        pid = child(lambda: ours[1].send(tensor))
        found = ours[0].recv()
        assert ended(pid) == 0
        assert np.array_equal(found.array, numbers())  # held by the parent, whatever became of the child
    assert pickle.loads(before).inode == tensor.inode


def test_a_tensor_whose_sender_has_ended_says_so(backing):
    ours = mp.Pipe()

    def send():
        ours[1].send(SharedTensor.share(numbers()))

    assert ended(child(send)) == 0
    late = ours[0].recv()
    with pytest.raises(HandoverError, match=r"expected process \d+ to hold the memory, found that it has ended"):
        _ = late.array


def test_who_receives_a_tensor_hands_it_on_when_its_home_has_ended():
    ours, again = mp.Pipe(), mp.Pipe()
    keep = os.pipe()

    def send():
        tensor = SharedTensor.share(numbers())
        ours[1].send(tensor)
        os.read(keep[0], 1)

    pid = child(send)
    tensor = ours[0].recv()
    os.write(keep[1], b"x")
    assert ended(pid) == 0
    other = child(lambda: again[1].send(np.array_equal(again[1].recv().array, numbers())))
    again[0].send(tensor)
    assert again[0].recv() is True
    assert ended(other) == 0
    for descriptor in keep:
        os.close(descriptor)


def test_a_sent_tensor_outlives_its_sender(backing):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ended(child(lambda: SharedTensor.share(numbers()).send(theirs))) == 0
        assert np.array_equal(SharedTensor.receive(ours).array, numbers())


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_are_kept_until_they_are_freed(backing):
    with SharedMemoryManager() as manager:
        first = manager.allocate("first", (2, 3), "int64", order="F")
        manager.share("second", numbers(), readonly=True)
        assert sorted(manager) == ["first", "second"]
        assert (len(manager), "first" in manager, "third" in manager) == (2, True, False)
        first[0, 0] = 5
        assert manager["first"].array[0, 0] == 5
        assert manager["first"].array.flags.f_contiguous
        assert not manager["second"].writable
        with pytest.raises(ValueError, match="found 'first' taken; free it first"):
            manager.allocate("first", 3)
        with pytest.raises(KeyError, match="no allocation is named 'third'; there are: first, second"):
            manager["third"]
        manager.free("first")
        manager["second"].free()
        assert list(manager) == []
        assert first[0, 0] == 5
        with pytest.raises(KeyError, match="there are: none"):
            manager.free("first")
        for wrong in ("", "a\0b", 7, "x" * 1001):
            with pytest.raises(ValueError, match="expected a name of 1 to 1000 bytes"):
                manager.allocate(wrong, 3)
        pid = child(lambda: manager.allocate("third", 3))
        assert ended(pid) == 0
        assert manager["third"].shape == (3,)
        pid = child(lambda: sys.exit(work.freed_by(manager, "third") != []))
        assert ended(pid) == 0
        assert "third" not in manager


def test_a_closed_manager_says_so(backing):
    manager = SharedMemoryManager()
    manager.share("a", numbers())
    same = pickle.loads(pickle.dumps(manager))
    kept = same["a"]
    message = pickle.dumps(manager.share(None, numbers()))
    manager.close()
    manager.close()
    assert manager.closed
    for wrong in (manager, same):
        with pytest.raises(HandoverError, match="found it closed"):
            list(wrong)
    with pytest.raises(HandoverError, match="cannot be handed over"):
        pickle.dumps(manager)
    with pytest.raises(HandoverError):
        _ = pickle.loads(message).array
    same.close()
    assert np.array_equal(kept.array, numbers())


def test_a_manager_that_is_forgotten_frees_its_names():
    before = descriptors()
    manager = SharedMemoryManager()
    manager.share("a", numbers())
    del manager
    gc.collect()
    assert descriptors() <= before + 1  # a process that still holds something goes on listening


def test_when_nothing_is_held_any_more_nobody_listens(backing):
    handover.rest()
    gc.collect()
    with SharedMemoryManager() as manager:
        where = handover.here()
        manager.share("a", numbers()).close()
        assert any(thread.name == "odyssey-shared" for thread in threading.enumerate())
    if handover.here():
        handover.rest()
    if not handover.here():  # nothing that another test has made is left
        with pytest.raises(HandoverError):
            handover.ask(where, Request(handover.NAMES))


def test_the_manager_of_a_dead_process_says_so_and_its_tensors_live_on():
    ours = mp.Pipe()

    def send():
        manager = SharedMemoryManager()
        manager.share("a", numbers())
        ours[1].send(manager)
        signal.pause()

    pid = child(send)
    manager = ours[0].recv()
    tensor = manager["a"]
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    assert "has ended" in work.asked(manager)
    assert np.array_equal(tensor.array, numbers())


def test_a_process_that_is_stopped_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(handover, "PATIENCE", 0.05)
    ours = mp.Pipe()

    def send():
        manager = SharedMemoryManager()
        ours[1].send(manager)
        signal.pause()

    pid = child(send)
    manager = ours[0].recv()
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    with pytest.raises(HandoverError, match="expected an answer from process"):
        list(manager)
    os.kill(pid, signal.SIGKILL)
    ended(pid)


# ---- who comes to ask -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x",
        b"\xff" * 200,
        struct.pack("<B16s16s16sBI", 7, b"", b"", b"", 0, 9),
        struct.pack("<B16s16s16sBI", 6, b"", b"", b"", 0, 0),
    ],
)
def test_strange_guests_do_no_harm(message, backing):
    with SharedMemoryManager() as manager:
        tensor = manager.share("a", numbers())
        before = descriptors()
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(handover.address())
            if len(message) > 100:
                socket.send_fds(line, [message], [tensor.fileno(), tensor.fileno()])
            else:
                line.sendall(message)
            line.shutdown(socket.SHUT_WR)
            assert line.recv(1 << 16) == b""
        pid = child(lambda: sys.exit(list(manager) != ["a"]))
        assert ended(pid) == 0
        assert settled(before)


def test_others_users_are_turned_away(monkeypatch):
    with SharedMemoryManager() as manager:
        pid = child(lambda: sys.exit("has ended" not in work.asked(manager)))
        assert ended(pid) == 1  # it is ours: it is answered
        monkeypatch.setattr(handover.os, "getuid", lambda: 1 << 20)
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(handover.address())
            assert line.recv(1) == b""
        monkeypatch.undo()


def test_a_folder_of_sockets_that_others_may_write_to_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(handover.tempfile, "tempdir", str(tmp_path))
    folder = handover._folder()
    assert handover._folder() == folder
    pid = child(lambda: None)
    ended(pid)
    for name in (f"odyssey-{pid}-dead", f"odyssey-{os.getpid()}-alive", "other"):
        (tmp_path / folder / name).write_bytes(b"")
    handover._sweep(folder)
    assert sorted(os.listdir(folder)) == sorted([f"odyssey-{os.getpid()}-alive", "other"])
    os.chmod(folder, 0o755)
    with pytest.raises(PermissionError, match="expected a folder of this user's alone"):
        handover._folder()


def test_an_answer_that_breaks_off_is_the_end_of_who_gave_it(tmp_path):
    where = str(tmp_path / "socket").encode()
    before = descriptors()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen()

        def answer():
            for part in (b"", handover._ANSWER.pack(0, 0, 100, bytes(16)), b"half"):
                guest, _ = listener.accept()
                with guest:
                    guest.recv(1000)
                    if len(part) > 4:
                        socket.send_fds(guest, [part], [0])
                    else:
                        guest.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        for _ in range(3):
            with pytest.raises(HandoverError, match="has ended"):
                handover.ask(where, Request(handover.NAMES))
        thread.join(PATIENCE)
    assert descriptors() == before


def test_many_names_fit_into_an_answer(monkeypatch):
    with SharedMemoryManager() as manager:
        tensor = SharedTensor.create(1)
        for number in range(200):
            manager._ask(handover.NAME, f"{number:0900d}", tensor._open_memory())
        pid = child(lambda: sys.exit(len(manager) != 200))
        assert ended(pid) == 0


def test_a_folder_too_long_for_a_socket_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ODYSSEY_SHARED_MEMORY", "file")
    (tmp_path / ("x" * 100)).mkdir()
    monkeypatch.setattr(handover.tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    with socket.socket(socket.AF_UNIX) as listener, pytest.raises(OSError, match="set TMPDIR"):
        handover._bind(listener)


def test_a_process_that_hands_over_by_files_leaves_none_behind(monkeypatch):
    monkeypatch.setenv("ODYSSEY_SHARED_MEMORY", "file")

    def run():
        with tempfile.TemporaryDirectory() as folder:
            handover.tempfile.tempdir = folder
            use()

    def use():
        with SharedMemoryManager() as manager:
            assert len(os.listdir(handover._folder())) == 1
            manager.share("a", numbers())
        assert os.listdir(handover._folder()) == []
        pickle.dumps(tensor := SharedTensor.share(numbers()))
        assert tensor.shape == (4,)
        handover._at_exit()
        assert os.listdir(handover._folder()) == []

    assert ended(child(run)) == 0
