"""Downloads against a server on loopback: whole, cut off, resumed, wrong, locked, and without room."""

import errno
import fcntl
import hashlib
import http.server
import io
import multiprocessing
import os
import resource
import socket
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from cifar_files import cifar10
from idx_files import mnist

from odyssey.data import download as module
from odyssey.data import load_cifar, load_idx, published
from odyssey.data.download import Remote, download
from odyssey.data.published import PUBLISHED, Published, fetch
from odyssey.errors import FormatError

DATA = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `requests` are what was asked for. `cut` lists, for each answer, after how many bytes to break off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"file": DATA}
        self.requests = []
        self.cut = []
        self.ranges = True
        self.announce = None
        self.length = True
        self.begin = threading.Event()
        self.begin.set()

    def url(self, name="file"):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        self.server.begin.wait(60)
        data = self.server.files.get(self.path[1:])
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.server.ranges else 0
        if start and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.server.length:
            self.send_header("Content-Length", str(self.server.announce or len(data) - start))
        self.end_headers()
        cut = self.server.cut.pop(0) if self.server.cut else None
        self.wfile.write(data[start:] if cut is None else data[start : start + cut])


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.begin.set()
        server.shutdown()
        thread.join()


def remote(server, **options):
    return Remote(**{"url": server.url(), "size": len(DATA), "sha256": SHA, **options})


def names(folder):
    return sorted(os.listdir(folder))


def test_a_file_is_fetched_once(server, tmp_path):
    told = []
    for _ in range(2):
        path = download(remote(server), tmp_path / "new" / "folder", lambda *state: told.append(state))
        assert path.read_bytes() == DATA
    assert server.requests == [None]
    assert told[-1] == ("file", len(DATA), len(DATA))
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize(
    "options",
    [{"sha256": None, "md5": hashlib.md5(DATA).hexdigest()}, {"sha256": SHA.upper()}, {"sha256": None}, {"size": None}],
)
def test_what_is_known_of_a_file_is_enough(server, tmp_path, options):
    assert download(remote(server, **options), tmp_path).read_bytes() == DATA


def test_a_file_of_unknown_length_is_fetched(server, tmp_path):
    server.length = False
    assert download(remote(server, size=None), tmp_path).read_bytes() == DATA
    server.files["empty"] = b""
    assert download(remote(server, url=server.url("empty"), size=0, sha256=None), tmp_path).read_bytes() == b""


def test_a_broken_connection_is_taken_up_again(server, tmp_path):
    server.cut = [100_000, 50_000]
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_a_download_goes_on_where_an_earlier_one_was_killed(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(DATA[:1234])
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.requests == ["bytes=1234-"]
    assert names(tmp_path) == ["file"]


def test_a_part_that_is_complete_needs_no_network(tmp_path):
    (tmp_path / ".file.part").write_bytes(DATA)
    assert download(Remote(url="http://127.0.0.1:9/file", size=len(DATA), sha256=SHA), tmp_path).read_bytes() == DATA


def test_a_server_that_knows_no_ranges_sends_all_of_it(server, tmp_path):
    server.ranges = False
    server.cut = [100_000]
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.requests == [None, "bytes=100000-"]


@pytest.mark.parametrize("left", [len(DATA) + 5, len(DATA)])
def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path, left):
    (tmp_path / ".file.part").write_bytes(b"x" * left)
    assert download(remote(server, size=None), tmp_path).read_bytes() == DATA
    (tmp_path / "file").unlink()
    (tmp_path / ".file.part").write_bytes(b"x" * (len(DATA) + 5))
    assert download(remote(server), tmp_path).read_bytes() == DATA


def test_a_part_of_another_file_is_found_out(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(b"x" * 1000)
    with pytest.raises(FormatError, match=f"expected the sha256 {SHA}, found [0-9a-f]{{64}}; the file was removed"):
        download(remote(server), tmp_path)
    assert names(tmp_path) == []
    assert download(remote(server), tmp_path).read_bytes() == DATA


def test_without_a_checksum_nothing_is_joined(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(b"x" * 1000)
    assert download(remote(server, sha256=None), tmp_path).read_bytes() == DATA
    (tmp_path / "file").unlink()
    server.cut = [1000]
    with pytest.raises(ConnectionError, match=f"expected {len(DATA)} bytes, found the connection closed after 1000; run"):
        download(remote(server, sha256=None), tmp_path)


def test_a_server_that_sends_nothing_more_is_given_up(server, tmp_path):
    server.cut = [1000, 0]
    with pytest.raises(ConnectionError, match=r"found: the connection closed after 1000 bytes; without network, get"):
        download(remote(server), tmp_path)
    assert names(tmp_path) == [".file.part"]  # to go on from
    assert download(remote(server), tmp_path).read_bytes() == DATA


def test_a_wrong_length_is_noticed_before_it_is_fetched(server, tmp_path):
    with pytest.raises(FormatError, match="expected 5 bytes, found 300000 announced; it has changed there"):
        download(remote(server, size=5), tmp_path)
    server.length = False
    with pytest.raises(FormatError, match="expected 5 bytes, found 6; the file was removed"):
        download(remote(server, size=5), tmp_path)
    assert names(tmp_path) == []


def test_a_wrong_checksum_says_both(server, tmp_path):
    server.files["file"] = DATA[:-1] + b"!"
    found = hashlib.sha256(server.files["file"]).hexdigest()
    with pytest.raises(FormatError, match=f"expected the sha256 {SHA}, found {found}.*put it at {tmp_path / 'file'}"):
        download(remote(server), tmp_path)
    (tmp_path / "file").write_bytes(server.files["file"])
    with pytest.raises(FormatError, match=f"found {found}; remove the file, and it will be fetched anew"):
        download(remote(server), tmp_path)
    assert (tmp_path / "file").exists()  # it is the user's: nothing of his is removed


def test_without_network_the_error_says_what_to_put_where(tmp_path):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
        with pytest.raises(ConnectionError, match=f"{url}: expected to fetch it, found: .*refused.* put it at {tmp_path}/file"):
            download(Remote(url=url, sha256=SHA), tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_is_not_on_the_server_is_named(server, tmp_path):
    with pytest.raises(ConnectionError, match="/nothing: expected to fetch it, found: 404 Not Found"):
        download(remote(server, url=server.url("nothing")), tmp_path)
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_half_written_in_the_files_place(server, tmp_path, monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="expected room for 300000 bytes, found the disk full; free some") as error:
            download(remote(server), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(tmp_path / "file"))
    assert not (tmp_path / "file").exists()
    assert download(remote(server), tmp_path).read_bytes() == DATA
    (tmp_path / "file").unlink()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match="expected room for it, found the disk full"):
        download(remote(server, size=None), tmp_path)
    assert names(tmp_path) == []


def test_an_interrupted_download_keeps_its_part(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1000)

    def interrupt(name, received, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(remote(server), tmp_path, interrupt)
    assert (tmp_path / ".file.part").stat().st_size > 0
    assert download(remote(server), tmp_path).read_bytes() == DATA
    assert server.requests[1].startswith("bytes=")


def test_a_second_one_waits_and_finds_the_file(server, tmp_path, monkeypatch):
    """The server answers the first only when the second stands at the lock."""
    server.begin.clear()
    flock, at_the_lock = fcntl.flock, []

    def watched(file, how):
        at_the_lock.append(file)
        if len(at_the_lock) == 2:
            server.begin.set()
        flock(file, how)

    monkeypatch.setattr(module.fcntl, "flock", watched)
    found = []
    threads = [threading.Thread(target=lambda: found.append(download(remote(server), tmp_path).read_bytes())) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DATA, DATA]
    assert server.requests == [None]
    assert names(tmp_path) == ["file"]


def _in_a_process(url, folder):
    return download(Remote(url=url, sha256=SHA), folder).read_bytes() == DATA


def test_of_several_processes_one_fetches(server, tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        assert all(processes.starmap(_in_a_process, [(server.url(), tmp_path)] * 4))
    assert server.requests == [None]
    assert names(tmp_path) == ["file"]


def test_addresses_and_names_that_will_not_do_are_refused():
    for options, message in (
        ({"url": "file:///etc/passwd"}, "begins with http:// or https://, found 'file:"),
        ({"url": "https://example.org/"}, "the name of a file, found ''; give name="),
        ({"url": "https://example.org/a", "name": "../b"}, "found '../b'"),
    ):
        with pytest.raises(ValueError, match=message):
            Remote(**options)


# ---- data sets -------------------------------------------------------------------------------------------------------


def packed(folder, inside):
    """A .tar.gz of a folder's files, and things that do not belong there."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, inside)
        link = tarfile.TarInfo(f"{inside}/../../escaped")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    return buffer.getvalue()


def offered(monkeypatch, server, name, content, archive, folder, contents):
    server.files[archive] = content
    checksum = hashlib.sha256(content).hexdigest()
    entry = Published("", (Remote(url=server.url(archive), sha256=checksum),), folder, contents)
    monkeypatch.setitem(published.PUBLISHED, name, entry)


def test_cifar10_is_fetched_unpacked_and_read(server, tmp_path, monkeypatch):
    made = cifar10(tmp_path / "made", each=5)
    known = PUBLISHED["cifar10"]
    offered(monkeypatch, server, "cifar10", packed(made, known.folder), "cifar-10-python.tar.gz", known.folder, known.contents)
    folder = fetch("cifar10", tmp_path / "data")
    assert load_cifar(folder).fingerprint() == load_cifar(tmp_path / "data").fingerprint() == load_cifar(made).fingerprint()
    assert names(folder) == names(made)
    assert names(tmp_path / "data") == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]
    (tmp_path / "data" / "cifar-10-python.tar.gz").unlink()
    assert fetch("cifar10", tmp_path / "data") == folder  # all is there
    assert len(server.requests) == 1


def test_a_zip_is_unpacked_by_names_alone(server, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("gzip/../../../one.gz", b"1")
        file.writestr("/etc/two.gz", b"2")
        file.writestr("gzip/three.gz", b"3")
    offered(monkeypatch, server, "emnist", buffer.getvalue(), "a.zip", "emnist", ("one.gz", "two.gz"))
    folder = fetch("emnist", tmp_path)
    assert names(folder) == ["one.gz", "two.gz"]
    assert names(tmp_path) == ["a.zip", "emnist"]


def test_files_of_their_own_are_fetched_one_by_one(server, tmp_path, monkeypatch):
    made = mnist(tmp_path / "made", compressed=True)
    server.files = {name: (made / name).read_bytes() for name in names(made)}
    monkeypatch.setitem(PUBLISHED, "mnist", Published("", tuple(Remote(url=server.url(name)) for name in server.files)))
    assert len(load_idx(fetch("mnist", tmp_path / "data")).train) == 60


@pytest.mark.parametrize("archive", ["a.tar.gz", "a.zip"])
def test_a_damaged_archive_is_refused(server, tmp_path, monkeypatch, archive):
    offered(monkeypatch, server, "cifar10", b"\x1f\x8b\x08\0 no archive", archive, "x", ("train",))
    with pytest.raises(FormatError, match="expected a complete archive, found it damaged"):
        fetch("cifar10", tmp_path)


def test_an_archive_without_its_files_is_refused(server, tmp_path, monkeypatch):
    made = cifar10(tmp_path / "made", each=1)
    offered(monkeypatch, server, "cifar100", packed(made, "x"), "a.tar.gz", "x", ("train", "test_batch"))
    with pytest.raises(FormatError, match="expected train in it, found no such file"):
        fetch("cifar100", tmp_path)
    with pytest.raises(FormatError, match=r"expected one of mnist, .*found 'imagenet'"):
        fetch("imagenet", tmp_path)


def test_every_published_file_has_a_checksum():
    for entry in PUBLISHED.values():
        assert len(entry.files) == 1 or not entry.contents
        for file in entry.files:
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
            assert file.md5 is None or len(bytes.fromhex(file.md5)) == 16
            assert file.sha256 or file.md5
            assert file.url.startswith("https://")


def test_the_command_fetches_and_prints_the_folder(server, tmp_path, monkeypatch):
    testing = pytest.importorskip("click.testing")
    from odyssey.cli.main import cli

    made = cifar10(tmp_path / "made", each=1)
    known = PUBLISHED["cifar10"]
    offered(monkeypatch, server, "cifar10", packed(made, known.folder), "a.tar.gz", known.folder, known.contents)
    result = testing.CliRunner().invoke(cli, ["data", "fetch", "cifar10", "--to", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'data' / known.folder}\n"
    server.files.clear()
    result = testing.CliRunner().invoke(cli, ["data", "fetch", "cifar10", "--to", str(tmp_path / "other")])
    assert result.exit_code == 2
    assert "found: 404 Not Found; without network, get the file elsewhere and put it at" in result.stderr
    assert len(result.stderr.splitlines()) == 1
