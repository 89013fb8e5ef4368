"""Training across the bridge: the bits of training without it, over deaths of the worker, ends and beginnings."""

import doctest
import os
import re
import signal

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("Cython")
pytest.importorskip("google.protobuf")
pytest.importorskip("safetensors")
from click.testing import CliRunner
from idx_files import mnist

import odyssey as od
from odyssey.cli.main import cli
from odyssey.errors import FormatError
from odyssey.tensor import ops
from odyssey.training import bridged_loader, evaluation, hybrid, metric_loops
from odyssey.training.callbacks import Callback
from odyssey.training.checkpoint import load_checkpoint, save_checkpoint
from odyssey.training.hybrid import Hybrid
from odyssey.training.lenet5 import LeNet5Recipe
from odyssey.training.run import RunFolder

pytestmark = pytest.mark.xdist_group("ring")
MESSAGES = {"checkpoint.pb", "config.pb", "curve.svg", "metrics.jsonl", "model.safetensors"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return mnist(tmp_path_factory.mktemp("mnist"), train=80, test=20)


@pytest.fixture(autouse=True, scope="module")
def forked():
    """Workers by fork: they need no import of half a second, and these tests have no threads that hold locks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hybrid, "CONTEXT", "fork")
        yield


def trainer(data, epochs=3, **options):
    recipe = LeNet5Recipe(data=str(data), epochs=epochs, batch_size=16).settled()
    made = recipe.trainer(recipe.load_data())
    for name, value in options.items():
        setattr(made, name, value)
    return made


def state(trainer):
    return {name: array.copy() for name, array in trainer.model.state_dict().items()}


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


class KillTheWorker(Callback):
    """Kills the first workers, each as soon as it is seen."""

    def __init__(self, bridge, count):
        self.bridge, self.count, self.killed = bridge, count, []

    def on_batch_end(self, trainer):
        for pid in self.bridge.loader.pids:
            if len(self.killed) < self.count and pid not in self.killed:
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kills", [0, 2])
def test_it_comes_to_the_same_bits_also_when_workers_die(data, accumulate, kills):
    plain, across = (trainer(data, epochs=8, accumulate=accumulate) for _ in range(2))
    bridge = Hybrid(across)
    killer = KillTheWorker(bridge, kills)
    across.callbacks.append(killer)
    plain.fit(8)
    across.fit(8)
    same(state(plain), state(across))
    assert len(killer.killed) == bridge.loader.restarted == kills
    for one, other in zip(plain.history, across.history, strict=True):
        assert {k: one[k] for k in one if k not in ("seconds", "images_per_second")} == {
            k: other[k] for k in other if k not in ("seconds", "images_per_second")
        }
    assert bridge.loader.pids == [] or bridge.loader._feed.closed


def test_the_books_have_a_line_for_each_pattern(data):
    across = trainer(data)
    bridge = Hybrid(across)
    assert bridge.elapsed == 0
    across.fit(2)
    seconds = bridge.seconds()
    assert list(seconds) == ["direct", "stream", "shared", "proto", "jit"]
    assert all(seconds[name] > 0 for name in ("direct", "stream", "shared", "jit"))
    assert seconds["proto"] == 0  # no folder is kept up to date
    assert bridge.elapsed > 0
    assert bridge._calls.count > 10
    assert ops.softmax is od.softmax  # nobody counts any more


def test_a_run_that_fails_leaves_no_worker_and_no_count(data):
    across = trainer(data)
    bridge = Hybrid(across)

    class Fail(Callback):
        def on_batch_end(self, trainer):
            raise ZeroDivisionError

    across.callbacks.append(Fail())
    with pytest.raises(ZeroDivisionError):
        across.fit(1)
    assert bridge.loader._feed.closed
    assert ops.softmax is od.softmax


@pytest.mark.parametrize("compiled", [False, True])
def test_the_compiled_tally_counts_as_the_plain_one(compiled):
    rng = np.random.default_rng(0)
    logits = np.round(rng.standard_normal((200, 5)), 1).astype(np.float32)  # with equals among them
    logits[rng.random((200, 5)) < 0.05] = np.nan
    labels = rng.integers(0, 5, 200)
    loop = od.jit(metric_loops.tally) if compiled else metric_loops.tally
    tables = [np.zeros((5, 5), np.int64) for _ in range(2)]
    assert loop(logits, labels, tables[0]) == evaluation.tally(logits, labels, tables[1])
    np.testing.assert_array_equal(*tables)
    assert tables[0].sum() == 200


def test_a_checkpoint_as_a_message_is_the_one_of_a_safetensors_file(data, tmp_path):
    one = trainer(data)
    one.fit(1)
    for name in ("a.pb", "a.safetensors"):
        save_checkpoint(one, tmp_path / name)
    loaded = []
    for name in ("a.pb", "a.safetensors"):
        other = trainer(data)
        load_checkpoint(other, tmp_path / name)
        other.fit(2)
        loaded.append(state(other))
    same(*loaded)
    (tmp_path / "b.pb").write_bytes((tmp_path / "a.pb").read_bytes()[:200])
    with pytest.raises(FormatError):
        load_checkpoint(trainer(data), tmp_path / "b.pb")
    od.bridge.proto.dump({"no": "checkpoint"}, tmp_path / "c.pb")
    with pytest.raises(FormatError, match="expected a checkpoint of a training run, found another pb file"):
        load_checkpoint(trainer(data), tmp_path / "c.pb")


# ---- the command -------------------------------------------------------------------------------------------------


def odyssey(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args])


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_the_command_leaves_messages_the_same_model_and_each_patterns_share(data, tmp_path):
    args = ("train", "lenet5", "--data", data, "--epochs", 3, "--batch-size", 16, "--out")
    plain, across = tmp_path / "plain", tmp_path / "across"
    assert odyssey(*args, plain).exit_code == 0
    result = odyssey(*args, across, "--hybrid")
    assert result.exit_code == 0, result.output
    assert files(across) == MESSAGES
    assert (plain / "model.safetensors").read_bytes() == (across / "model.safetensors").read_bytes()
    assert re.search(
        r"bridge +direct [\d.]+%  stream [\d.]+%  shared [\d.]+%  proto [\d.]+%  jit [\d.]+%: together", result.output
    )
    assert re.search(r"worker +ready after [\d.]+ s, replaced 0 times", result.output)
    # Its folder goes on, with the bridge or without, and predicts.
    for more in ((), ("--hybrid",)):
        again = odyssey("train", "lenet5", "--resume", across, *more)
        assert again.exit_code == 0, again.output
    assert files(across) == MESSAGES
    config = RunFolder(across).config("lenet5")
    assert config == {**RunFolder(plain).config("lenet5"), "training": config["training"]}


def test_a_damaged_description_is_named(data, tmp_path):
    out = tmp_path / "run"
    assert odyssey("train", "lenet5", "--data", data, "--epochs", 1, "--out", out, "--hybrid").exit_code == 0
    (out / "config.pb").write_bytes((out / "config.pb").read_bytes()[:60])
    result = odyssey("train", "lenet5", "--resume", out)
    assert result.exit_code == 2
    assert str(out / "config.pb") in result.stderr
    assert "expected the configuration of a run of lenet5" in result.stderr


def test_the_examples_run():
    for module in (bridged_loader, evaluation, metric_loops, ops):
        assert doctest.testmod(module).failed == 0, module.__name__
