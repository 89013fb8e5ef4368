"""The command line as a process of its own: Ctrl-C, a pipe nobody reads, how fast it starts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("click")
pytest.importorskip("safetensors")
from idx_files import mnist

COMMAND = [sys.executable, "-m", "odyssey"]


def start(*args, **options):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*COMMAND, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_ctrl_c_saves_and_the_run_resumes_to_the_same_bits(tmp_path):
    data = mnist(tmp_path / "mnist", train=80)
    options = ("train", "lenet5", "--data", data, "--epochs", 40, "--batch-size", 8)
    whole = start(*options, "--out", tmp_path / "whole")
    stopped = start(*options, "--out", tmp_path / "stopped")
    for line in stopped.stdout:
        if line.startswith("epoch  2"):
            break
    stopped.send_signal(signal.SIGINT)
    rest, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, errors) == (130, "")
    assert "saved; continue with" in rest
    metrics = (tmp_path / "stopped/metrics.jsonl").read_text().splitlines()
    assert 2 <= len(metrics) < 40
    resumed = start("train", "lenet5", "--resume", tmp_path / "stopped")
    for process in (whole, resumed):
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    for name in ("whole", "stopped"):
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == list(range(1, 41))
    assert (tmp_path / "stopped/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_ctrl_c_before_the_training_begins_is_130_too(tmp_path):
    process = start("train", "lenet5", "--data", tmp_path / "fifo", "--out", tmp_path / "run")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    # Early enough it interrupts Python's own start, which ends by the signal; later it is ours; last it is too late.
    assert process.returncode in (-signal.SIGINT, 130, 2, 1)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_in_the_exhaustive_run_keeps_what_is_done(tmp_path):
    kept = tmp_path / "kept.json"
    process = start("verify", "--exhaustive", "--op", "exp", "--jobs", 1, "--keep", kept)
    assert "about" in process.stdout.readline()
    while not kept.exists() and process.poll() is None:  # the first piece is done
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, "odyssey: interrupted")
    assert 0 < json.loads(kept.read_text())["functions"]["exp"]["inputs"] < 2**32


def test_a_pipe_that_nobody_reads_is_no_error_message():
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*COMMAND, "info"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert process.stderr == ""


def test_light_commands_load_no_heavy_library():
    code = (
        "import sys; from odyssey.cli.main import cli\n"
        "try: cli.main(['info'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'matplotlib', 'sklearn', 'scipy', 'rich', 'PIL', 'safetensors', 'odyssey.tensor', 'odyssey.nn'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_importing_odyssey_loads_nothing_above_the_kernels():
    code = (
        "import sys, odyssey\n"
        "found = {m for m in sys.modules if m.startswith(('odyssey.tensor', 'odyssey.nn', 'odyssey.training'))}\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
