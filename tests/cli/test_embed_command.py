"""`odyssey embed`: lines to vectors, in order, whole or not at all; what is wrong is one line."""

import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("tokenizers")
pytest.importorskip("ml_dtypes")
from click.testing import CliRunner
from tiny_bert import tiny_folder

import odyssey as od
from odyssey.cli.main import cli

LINES = ["the cat sat", "", "a dog ran on the mat .", "red cats"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def embed(*args, given=None):
    return CliRunner().invoke(cli, ["embed", *map(str, args)], input=given)


def is_one_line(result, *parts):
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return all(str(part) in result.stderr for part in ("odyssey: ", *parts))


def expected(folder, **options):
    return od.models.from_pretrained(folder).encode(LINES, **options)


def test_a_file_of_lines_becomes_an_array(folder, text, tmp_path):
    result = embed(folder, text, "--out", tmp_path / "x.npy")
    assert (result.exit_code, result.output) == (0, "")
    found = np.load(tmp_path / "x.npy")
    np.testing.assert_array_equal(found, expected(folder))
    assert found.dtype == np.float32


def test_the_standard_input_becomes_lines_of_json(folder, tmp_path):
    result = embed(folder, "--batch-size", 2, given="\r\n".join(LINES))
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["text"] for one in found] == [1, 2, 3, 4]
    np.testing.assert_array_equal(np.float32([one["embedding"] for one in found]), expected(folder))
    assert embed(folder, "-", "--out", tmp_path / "x.jsonl", given="\n".join(LINES)).exit_code == 0
    assert (tmp_path / "x.jsonl").read_text() == result.stdout


def test_options_reach_the_model(folder, text, tmp_path):
    for name, options in {
        "long": ["--no-normalize", "--threads", 1], "half": ["--dtype", "bfloat16", "--precision", "native"], "int8": ["--dtype", "int8"],
    }.items():  # fmt: skip
        assert embed(folder, text, "--out", tmp_path / f"{name}.npy", *options).exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "long.npy"), expected(folder, normalize=False))
    for name in ("half", "int8"):
        cosine = (np.load(tmp_path / f"{name}.npy") * expected(folder)).sum(axis=1)
        assert cosine.min() > 0.99
        assert not np.array_equal(np.load(tmp_path / f"{name}.npy"), expected(folder))


def test_texts_that_are_cut_are_named_by_their_lines(tmp_path):
    folder = tiny_folder(tmp_path / "m", longest=4)
    result = embed(folder, given="a\na dog ran\n" + "the cat sat\n" * 10)
    assert result.exit_code == 0
    assert result.stderr == (
        "odyssey: 11 texts were longer than 4 tokens and were cut: lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...\n"
    )


def test_what_is_wrong_is_one_line(folder, text, tmp_path):
    assert is_one_line(embed(tmp_path / "nothing", text), "expected a model's folder")
    assert is_one_line(embed(folder, tmp_path / "nothing"), "expected a file, found nothing there")
    assert is_one_line(embed(folder, given=""), "the standard input: expected lines of text, found none")
    assert is_one_line(embed(folder, given=b"a\n\xff\n"), "text in UTF-8", "in line 2", "iconv")
    assert is_one_line(embed(folder, text, "--out", tmp_path / "x.csv"), "ends with .npy or .jsonl, found")
    assert is_one_line(embed(folder, text, "--batch-size", 0), "batch-size")
    assert is_one_line(embed(folder, text, "--precision", "native"), "give dtype='bfloat16' too")
    assert is_one_line(embed(folder, text, "--out", tmp_path / "no" / "x.npy"), "x.npy")
    assert [path.name for path in tmp_path.iterdir()] == [text.name]


def test_a_model_of_another_kind_is_refused(folder, text, monkeypatch):
    monkeypatch.setattr("odyssey.models.pretrained.from_pretrained", lambda *_, **__: od.models.LeNet5())
    assert is_one_line(embed(folder, text), "expected a BERT, found a LeNet5")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(folder, tmp_path):
    out = tmp_path / "x.npy"
    out.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        result = embed(folder, "--out", out, given="a dog\n" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_one_line(result, out, "nothing was half-written")
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_ctrl_c_leaves_no_file(folder, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "odyssey", "embed", str(folder), "--out", str(tmp_path / "x.npy")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONFAULTHANDLER": ""},
    )
    process.stdin.write(b"a dog\n")
    process.stdin.flush()  # it waits for more
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # Early enough it interrupts Python's own start, which ends by the signal.
    assert process.returncode in (130, -signal.SIGINT, 1), errors
    assert list(tmp_path.iterdir()) == []


def test_embedding_imports_nothing_of_images_or_training(folder, text):
    program = (
        "import sys; from odyssey.cli.main import main\n"
        f"sys.argv = ['odyssey', 'embed', {str(folder)!r}, {str(text)!r}]\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 0, end.code\n"
        "late = {'odyssey.training', 'odyssey.models.resnet18', 'odyssey.data.images', 'odyssey.bridge.stream', 'safetensors', 'torch', 'PIL',"
        " 'huggingface_hub', 'pyarrow'}\n"
        "assert not late & set(sys.modules), late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
