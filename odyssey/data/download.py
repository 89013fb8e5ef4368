"""Files from the network: whole and verified, or not there.

A file is written beside its place as `.<name>.part`, verified, and renamed. The part stays when a download is cut off,
and the next one goes on from there where the server can; so it does only where a checksum will tell whether the two
halves belong together. A lock on the part keeps two processes from writing one file: the second waits, and then finds
the file there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

from odyssey.errors import FormatError

__all__ = ["Progress", "Remote", "download"]

Progress: TypeAlias = Callable[[str, int, int | None], object]
"""Told a file's name, the bytes there are of it, and how many it will have, where that is known."""

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on the network, and how to tell that it is the right one.

    Attributes:
        url: where it is, by http or https.
        name: what it is called here; by default what the address ends with.
        size: its bytes, where known.
        sha256, md5: its checksums in hexadecimal, where known. One is enough; without any, the size alone is compared.

    Raises:
        ValueError: for an address that is not http or https, or a name that is not one of a file.
    """

    url: str
    name: str = ""
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"Remote: expected an address that begins with http:// or https://, found {self.url!r}")
        if not self.name:
            object.__setattr__(self, "name", self.url.rsplit("/", 1)[1])
        if self.name in ("", ".", "..") or "/" in self.name or "\0" in self.name:
            raise ValueError(f"Remote: expected the name of a file, found {self.name!r}; give name=")

    def problem(self, path: Path) -> str | None:
        """What is wrong with a file that ought to be this one: what was expected and found; or None."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"expected {self.size} bytes, found {size}"
        for algorithm, wanted in (("sha256", self.sha256), ("md5", self.md5)):
            if wanted is not None:
                made = partial(hashlib.new, algorithm, usedforsecurity=False)
                with open(path, "rb") as file:
                    found = hashlib.file_digest(file, made).hexdigest()
                return None if found == wanted.lower() else f"expected the {algorithm} {wanted}, found {found}"
        return None


def download(remote: Remote, folder: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """The file, in this folder; fetched if it is not there already.

    Args:
        remote: which one.
        folder: where to; made if it is missing.
        progress: told how far it is, about once for each megabyte.

    Returns:
        Its path. A file that was there is verified like a new one, and needs no network.

    Raises:
        ConnectionError: the server cannot be reached, refuses, or breaks off. The message says what to put where.
        FormatError: the file, new or already there, is not the one expected.
        OSError: there is no room for it, or the folder cannot be written to.
    """
    folder = Path(folder)
    path = folder / remote.name
    if path.is_file():
        _verify_present(remote, path)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f".{remote.name}.part")) as part:
        if path.is_file():  # another process was quicker
            _verify_present(remote, path)
            os.unlink(part.name)
            return path
        try:
            _fetch(remote, part, path, progress or (lambda name, received, size: None))
        except BaseException:
            if not _length(part):  # nothing to go on from
                os.unlink(part.name)
            raise
        os.fsync(part.fileno())
        problem = remote.problem(Path(part.name))
        if problem:
            os.unlink(part.name)
            raise FormatError(
                f"{remote.url}: {problem}; the file was removed. It has changed there, or something on the way answers "
                f"in its place: get it elsewhere and put it at {path}"
            )
        os.replace(part.name, path)
    return path


def _verify_present(remote: Remote, path: Path) -> None:
    problem = remote.problem(path)
    if problem:
        raise FormatError(f"{path}: {problem}; remove the file, and it will be fetched anew from {remote.url}")


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The part, open for appending and nobody else's. The lock goes with the file, whatever it is renamed to."""
    while True:
        file = open(path, "ab", buffering=0)  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(file, path):
                yield file
                return
        finally:
            file.close()
        # Whoever held the lock has renamed or removed the file meanwhile: this is not the part any more.


def _is_still(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _fetch(remote: Remote, part: IO[bytes], path: Path, progress: Progress) -> None:
    """Bring the part to its full length, going on where a connection breaks off for as long as that brings more."""
    checked = bool(remote.sha256 or remote.md5)
    if not checked:
        part.truncate(0)  # nothing would tell whether what is there and what comes are of one file
    while True:
        before = _length(part)
        if remote.size is not None and before > remote.size:
            part.truncate(0)
            continue
        if before and before == remote.size:
            return
        cause: Exception | None = None
        expected = None
        try:
            expected = _receive(remote, part, before, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 416 or not before:
                raise _unreachable(remote, path, f"{error.code} {error.reason}") from error
            part.truncate(0)  # the server has no more than we: what we have is no part of its file
            continue
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                wanted = f"room for {remote.size} bytes" if remote.size else "room for it"
                raise OSError(error.errno, f"expected {wanted}, found the disk full; free some", str(path)) from error
            cause = error
        received = _length(part)
        if cause is None and (expected is None or received >= expected):
            return
        if received <= before:
            why = str(getattr(cause, "reason", "") or cause or f"the connection closed after {received} bytes")
            raise _unreachable(remote, path, why) from cause
        if not checked:
            wanted = "all of it" if expected is None else f"{expected} bytes"
            raise ConnectionError(
                f"{remote.url}: expected {wanted}, found the connection closed after {received}; run it again"
            ) from cause


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _unreachable(remote: Remote, path: Path, why: str) -> ConnectionError:
    return ConnectionError(
        f"{remote.url}: expected to fetch it, found: {why}; without network, get the file elsewhere and put it at "
        f"{path}"
    )


def _receive(remote: Remote, part: IO[bytes], start: int, progress: Progress) -> int | None:
    """Append what the server sends; returns the length the whole ought to have, where it said so."""
    request = urllib.request.Request(remote.url, headers={"User-Agent": "odyssey", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if start and not _goes_on(response, start):
            part.truncate(0)  # the server sends all of it
            start = 0
        length = response.headers.get("Content-Length")
        expected = start + int(length) if length is not None and length.isdigit() else None
        if remote.size is not None and expected is not None and expected != remote.size:
            part.truncate(0)
            raise FormatError(
                f"{remote.url}: expected {remote.size} bytes, found {expected} announced; it has changed there, or "
                "something on the way answers in its place"
            )
        _check_room(part, (expected or remote.size or 0) - start)
        received = start
        most = remote.size if remote.size is not None else expected
        while chunk := response.read(CHUNK if most is None else min(CHUNK, most + 1 - received)):
            received += len(chunk)
            while chunk:  # an unbuffered write may take a part
                chunk = chunk[part.write(chunk) :]
            progress(remote.name, received, most)
            if most is not None and received > most:
                break
        return expected if expected is not None else remote.size


def _goes_on(response: Any, start: int) -> bool:
    return response.status == 206 and str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _check_room(part: IO[bytes], wanted: int) -> None:
    free = shutil.disk_usage(os.path.dirname(part.name) or ".").free
    if wanted > free:
        raise OSError(errno.ENOSPC, f"{wanted} bytes wanted, {free} free")
