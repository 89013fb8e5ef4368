"""The data sets odyssey can fetch: where their files are published, their sizes and checksums."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias, cast

from odyssey.data.download import Progress, Remote, download
from odyssey.errors import FormatError
from odyssey.serialization.atomic import replacing

__all__ = ["PUBLISHED", "Published", "fetch"]


Member: TypeAlias = tuple[str, Callable[[], IO[bytes]]]
"""A file of an archive: its name without folders, and how to open it."""


@dataclass(frozen=True)
class Published:
    """A data set: its files, and what to take out of them.

    Attributes:
        what: a line about it.
        files: all that is to be fetched.
        folder: where its contents come to lie, below the folder that is asked for.
        contents: where `files` is one archive, the names of the files in it, without their folders.
    """

    what: str
    files: tuple[Remote, ...]
    folder: str = ""
    contents: tuple[str, ...] = ()


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_CIFAR = "https://www.cs.toronto.edu/~kriz"
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))

PUBLISHED = {
    "mnist": Published("handwritten digits, 28x28: 60 000 and 10 000", (
        Remote(url=f"{_MNIST}/train-images-idx3-ubyte.gz", size=9_912_422,
               sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        Remote(url=f"{_MNIST}/train-labels-idx1-ubyte.gz", size=28_881,
               sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        Remote(url=f"{_MNIST}/t10k-images-idx3-ubyte.gz", size=1_648_877,
               sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        Remote(url=f"{_MNIST}/t10k-labels-idx1-ubyte.gz", size=4_542,
               sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )),
    "emnist": Published("handwritten letters and digits, 28x28, six splits", (
        Remote(url="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", name="emnist-gzip.zip",
               md5="58c8d27c78d21e728a6bc7b3cc06412e"),
    ), "emnist", tuple(
        f"emnist-{split}-{part}-{kind}-ubyte.gz"
        for split in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
        for part in ("train", "test") for kind in ("images-idx3", "labels-idx1")
    )),
    "cifar10": Published("colour photographs of 10 classes, 32x32: 50 000 and 10 000", (
        Remote(url=f"{_CIFAR}/cifar-10-python.tar.gz", size=170_498_071, md5="c58f30108f718f92721af3b95e74349a",
               sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
    ), "cifar-10-batches-py", (*_BATCHES, "test_batch", "batches.meta")),
    "cifar10-binary": Published("the same in the binary form", (
        Remote(url=f"{_CIFAR}/cifar-10-binary.tar.gz", size=170_052_171, md5="c32a1d4ab5d03f1284b67883e8d87530",
               sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    ), "cifar-10-batches-bin", (*(f"{name}.bin" for name in _BATCHES), "test_batch.bin", "batches.meta.txt")),
    "cifar100": Published("colour photographs of 100 classes, 32x32: 50 000 and 10 000", (
        Remote(url=f"{_CIFAR}/cifar-100-python.tar.gz", size=169_001_437, md5="eb9058c3a382ffc7106e4002c42a8d85",
               sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"),
    ), "cifar-100-python", ("train", "test", "meta")),
    "cifar100-binary": Published("the same in the binary form", (
        Remote(url=f"{_CIFAR}/cifar-100-binary.tar.gz", size=168_513_733, md5="03b5dce01913d631647c71ecec9e9cb8",
               sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    ), "cifar-100-binary", ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")),
}  # fmt: skip


def fetch(name: str, folder: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """A published data set, in this folder: what is not there is fetched and unpacked.

    Args:
        name: one of `PUBLISHED`.
        folder: where to; made if it is missing. An archive stays there, so that fetching again needs no network.
        progress: as for `download`.

    Returns:
        The folder for `load_idx` or `load_cifar`.

    Raises:
        FormatError: for a name that is none, or an archive that lacks a file.
        ConnectionError, FormatError, OSError: as `download`.
    """
    if name not in PUBLISHED:
        raise FormatError(f"fetch: expected one of {', '.join(PUBLISHED)}, found {name!r}")
    data = PUBLISHED[name]
    folder = Path(folder)
    target = folder / data.folder
    if data.contents and all((target / each).is_file() for each in data.contents):
        return target
    paths = [download(remote, folder, progress) for remote in data.files]
    if data.contents:
        target.mkdir(exist_ok=True)
        _unpack(paths[0], target, data.contents)
    return target


def _unpack(archive: Path, target: Path, wanted: tuple[str, ...]) -> None:
    """Take these files out of a .tar.gz or .zip, by their names alone: no path in an archive is followed."""
    missing = set(wanted)
    try:
        with _members(archive) as members:
            for name, member in members:
                if name in missing:
                    missing.discard(name)
                    with member() as source, replacing(target / name) as file:
                        shutil.copyfileobj(source, file, 1 << 20)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(
            f"{archive}: expected a complete archive, found it damaged ({error}); remove it and fetch it again"
        ) from error
    if missing:
        raise FormatError(f"{archive}: expected {', '.join(sorted(missing))} in it, found no such file; fetch it again")


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """The files of an archive one after the other, as they lie in it."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            yield ((PurePosixPath(each.filename).name, partial(file.open, each)) for each in file.infolist())
    else:
        with tarfile.open(archive) as tar:
            yield ((PurePosixPath(each.name).name, partial(_opened, tar, each)) for each in tar if each.isfile())


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", tar.extractfile(member))  # None for what is no file, which has been left out
