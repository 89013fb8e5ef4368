"""Commands at their edges: what the system refuses, configurations that lie, a terminal in the place of a pipe."""

import errno
import json
import runpy
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import odyssey as od
from odyssey.cli import main as entry
from odyssey.cli.main import cli
from odyssey.cli.predict import read_image


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "expected room to write"), (errno.ENOENT, "found nothing there"),
        (errno.EACCES, "check its permissions"), (errno.EISDIR, "directory"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_one_line(code, words):
    import os

    text = entry._explain(OSError(code, os.strerror(code), "some/file"))
    assert text.startswith("some/file: ")
    assert words in text.lower() or words in text
    assert entry._explain(OSError("said by us")) == "said by us"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [(KeyboardInterrupt(), 130, "interrupted"), (PermissionError(errno.EACCES, "no", "f"), 2, "permissions"),
     (od.errors.FormatError("bad file"), 2, "bad file"), (ImportError("pip install x"), 2, "pip install x")],
)  # fmt: skip
def test_an_error_of_a_command_is_one_line_and_an_exit_code(monkeypatch, error, code, words):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(od.isa, "found", fail)
    result = CliRunner().invoke(cli, ["info"])
    assert result.exit_code == code
    assert len(result.stderr.split("\n\n")) == len(result.stderr.strip().splitlines()) == 1
    assert words in result.stderr


def test_python_m_odyssey_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["odyssey", "--version"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("odyssey", run_name="__main__")
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("odyssey ")
    runpy.run_module("odyssey", run_name="not main")


def test_tables_have_no_reports():
    result = CliRunner().invoke(cli, ["bench", "--table", "bridge", "--report", "x.html"])
    assert result.exit_code == 2
    assert "without --table" in result.stderr


def test_verify_names_instruction_sets_that_cannot_run():
    result = CliRunner().invoke(cli, ["verify", "--isa", "neon9"])
    assert result.exit_code == 2
    assert "found 'neon9'" in result.stderr


def test_pictures_of_16_bits_keep_them(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.uint16([[0, 65535], [32768, 1]])).save(path)
    pixels = read_image(path, 2, 3)
    assert pixels.shape == (3, 2, 2)
    np.testing.assert_allclose(pixels[1], [[0, 1], [32768 / 65535, 1 / 65535]], rtol=1e-6)


def test_a_configuration_with_too_few_classes_is_damaged(tmp_path):
    config = {
        "format": 1,
        "model": {"name": "lenet5", "arguments": {"num_classes": 10}},
        "data": {"mean": 0.1, "std": 0.3, "image_size": 32, "classes": ["a", "b"]},
        "training": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = CliRunner().invoke(cli, ["predict", str(tmp_path), "image.png"])
    assert result.exit_code == 2
    assert "2 classes for 10 outputs" in result.stderr


def test_show_config_is_a_line_for_each_fact(capsys):
    od.show_config()
    assert len(capsys.readouterr().out.splitlines()) == len(od.config.build_info())


def test_headers_that_are_missing_are_named(monkeypatch):
    monkeypatch.setattr(od.config, "__file__", "/nowhere/at/all/config.py")
    with pytest.raises(FileNotFoundError, match="which this installation lacks"):
        od.get_include()
