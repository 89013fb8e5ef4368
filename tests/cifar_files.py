"""CIFAR's files as they are published, made up for the tests: the bytes that Python 2 wrote, instruction by instruction."""

import math
import struct
from pathlib import Path

import numpy as np

CLASSES10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FINE = tuple(f"fine_{i}" for i in range(100))
COARSE = tuple(f"coarse_{i}" for i in range(20))


class Python2:
    """cPickle.dumps(value, 2) of Python 2.6 or 2.7: str is SHORT_BINSTRING or BINSTRING, everything made is memoised."""

    def __init__(self):
        self.memo = 0

    def dumps(self, value):
        return b"\x80\x02" + self.write(value) + b"."

    def put(self):
        self.memo += 1
        return struct.pack("<BB", ord("q"), self.memo) if self.memo < 256 else struct.pack("<BI", ord("r"), self.memo)

    def write(self, value):
        if value is None:
            return b"N"
        if isinstance(value, bool):
            return b"\x88" if value else b"\x89"
        if isinstance(value, int):
            if 0 <= value < 256:
                return struct.pack("<BB", ord("K"), value)
            return struct.pack("<BH", ord("M"), value) if 0 <= value < 65536 else struct.pack("<Bi", ord("J"), value)
        if isinstance(value, bytes):
            short = len(value) < 256
            return struct.pack("<BB" if short else "<BI", ord("U" if short else "T"), len(value)) + value + self.put()
        if isinstance(value, tuple):
            items = [self.write(item) for item in value]
            if len(items) > 3:
                return b"(" + b"".join(items) + b"t" + self.put()
            return b"".join(items) + (b")" if not items else bytes([0x84 + len(items)]) + self.put())
        if isinstance(value, list):
            start = b"]" + self.put()
            parts = (value[i : i + 1000] for i in range(0, len(value), 1000))
            return start + b"".join(b"(" + b"".join(map(self.write, part)) + b"e" for part in parts)
        if isinstance(value, dict):
            start = b"}" + self.put()
            return start + b"(" + b"".join(self.write(k) + self.write(v) for k, v in value.items()) + b"u"
        return self.array(value)

    def array(self, array):
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        made = b"cnumpy.core.multiarray\n_reconstruct\n" + self.put() + b"cnumpy\nndarray\n" + self.put()
        made += self.write((0,)) + self.write(b"b") + b"\x87" + self.put() + b"R" + self.put()
        dtype = b"cnumpy\ndtype\n" + self.put() + self.write(b"u1") + b"K\x00K\x01\x87" + self.put() + b"R" + self.put()
        dtype += self.write((3, b"|", None, None, None, -1, -1, 0)) + b"b"
        state = b"(K\x01" + self.write(array.shape) + dtype + self.write(fortran)
        return made + state + self.write(array.tobytes("A")) + b"t" + self.put() + b"b"


def text_pickle(key, names):
    """cPickle.dumps({key: names, ...}), protocol 0, as batches.meta has it."""
    lines = [f"(dp1\nS'num_cases_per_batch'\np2\nI10000\nsS'{key}'\np3\n(lp4\n"]
    lines += [f"S'{name}'\np{5 + i}\na" for i, name in enumerate(names)]
    return "".join(lines).encode() + b"sS'num_vis'\np99\nI3072\ns."


def drawn(count, classes, seed=0):
    """Coloured noise with a patch whose place and colour tell the class."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    images = rng.integers(60, 120, (count, 3, 32, 32)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = divmod(int(label) % 16, 4)
        image[label // 16 % 3, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 255
    return images, labels


def records(images, *labels):
    return np.concatenate([*(label[:, None] for label in labels), images.reshape(len(images), -1)], 1).astype(np.uint8).tobytes()


def batch(images, **labels):
    named = {name.encode(): [int(label) for label in each] for name, each in labels.items()}
    return Python2().dumps(
        {
            b"batch_label": b"training batch 1 of 5",
            **named,
            b"data": images.reshape(len(images), math.prod(images.shape[1:])),
            b"filenames": [b"image_%d.png" % i for i in range(len(images))],
        }
    )


def cifar10(folder: Path, binary=False, each=20):
    """Five batches of `each` images and a test batch."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images, labels = drawn(each, 10, seed=i)
        if binary:
            (folder / f"{name}.bin").write_bytes(records(images, labels))
        else:
            (folder / name).write_bytes(batch(images, labels=labels))
    if binary:
        (folder / "batches.meta.txt").write_text("\n".join(CLASSES10) + "\n\n")
    else:
        (folder / "batches.meta").write_bytes(text_pickle("label_names", CLASSES10))
    return folder


def cifar100(folder: Path, binary=False, train=200, test=100):
    folder.mkdir(parents=True, exist_ok=True)
    for i, (name, count) in enumerate((("train", train), ("test", test))):
        images, labels = drawn(count, 100, seed=i)
        if binary:
            (folder / f"{name}.bin").write_bytes(records(images, labels // 5, labels))
        else:
            (folder / name).write_bytes(batch(images, fine_labels=labels, coarse_labels=labels // 5))
    if binary:
        (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
        (folder / "coarse_label_names.txt").write_text("\n".join(COARSE) + "\n")
    else:
        names = {b"fine_label_names": [n.encode() for n in FINE], b"coarse_label_names": [n.encode() for n in COARSE]}
        (folder / "meta").write_bytes(Python2().dumps(names))
    return folder
