"""What worker processes of the tests run: by name, since spawned ones import it."""

import os
import signal

import numpy as np

from odyssey.bridge.shared import HandoverError, SharedTensor


def double(tensor):
    tensor.array[...] *= 2
    return tensor


def made(count):
    return SharedTensor.share(np.full(count, count, np.float32))


def made_by(manager, count):
    return manager.share(None, np.full(count, count, np.float32))


def named_by(manager, name):
    with manager.allocate(name, 4) as tensor:
        tensor[:] = 7
    try:
        manager.allocate(name, 4)
    except ValueError as error:
        return str(error), sorted(manager), manager[name].array.tolist()


def freed_by(manager, name):
    manager.free(name)
    try:
        manager.free(name)
    except KeyError:
        return sorted(manager)


def put(queue, tensor):
    queue.put(tensor.readonly())
    queue.put(tensor.part(np.s_[1:3]))


def asked(manager):
    """What a manager whose process has ended says."""
    try:
        return list(manager)
    except HandoverError as error:
        return str(error)


def fill(number, slot):
    slot["x"][:] = number
    slot["y"][:] = -number
    return 1 if number == 9 else None


def fail(number, slot):
    if number == 3:
        raise KeyError("three")


def stop(number, slot):
    if number == 3:
        raise StopIteration


class Unpicklable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def fail_oddly(number, slot):
    raise Unpicklable(1, 2)


def die(number, slot):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def leave(number, slot):
    os._exit(7)


def hang(number, slot):
    if number == 1:
        signal.pause()
