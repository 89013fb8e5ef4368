import json
import resource
import signal

import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.data import ArrayDataset, DataLoader
from odyssey.errors import FormatError, OdysseyError
from odyssey.training import (
    Callback,
    CheckpointCallback,
    MetricsFile,
    Trainer,
    evaluate,
    load_checkpoint,
    save_checkpoint,
)
from odyssey.training.interrupt import stop_on_interrupt


def problem(count=50):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 6)).astype(np.float32)
    return ArrayDataset(x, (x @ rng.normal(size=(6, 3)).astype(np.float32)).argmax(1))


def jitter(batch, generator):
    inputs, labels = batch
    return inputs + generator.normal(scale=0.1, size=inputs.shape).astype(np.float32), labels


def make(optimizer="sgd", callbacks=()):
    model = nn.Sequential(
        nn.Linear(6, 8, activation="relu", generator=np.random.default_rng(1)),
        nn.Linear(8, 3, generator=np.random.default_rng(2)),
    )
    opt = {
        "sgd": lambda: od.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "adam": lambda: od.optim.Adam(model.parameters(), lr=0.05),
    }[optimizer]()
    data = problem()
    loader = DataLoader(data, 8, shuffle=True, seed=3, transform=jitter)
    return Trainer(model, opt, loader, data, od.optim.cosine(total=7 * 4, warmup=3), callbacks)


class StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop()


def untimed(history):
    timed = ("seconds", "images_per_second")
    return [{name: value for name, value in metrics.items() if name not in timed} for metrics in history]


def state(trainer):
    return {name: array.tobytes() for name, array in trainer.model.state_dict().items()}


def test_it_learns():
    trainer = make()
    trainer.fit(4)
    assert [metrics["epoch"] for metrics in trainer.history] == [1, 2, 3, 4]
    assert trainer.step == 28
    assert trainer.history[-1]["test_accuracy"] > 0.85 > trainer.history[0]["train_accuracy"]
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]
    assert set(trainer.seconds()) == {"data", "forward", "backward", "optimizer", "evaluation"}
    assert all(spent > 0 for spent in trainer.seconds().values())


def test_two_runs_come_to_the_same_bits():
    one, two = make(), make()
    one.fit(2)
    two.fit(2)
    assert state(one) == state(two)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("step", [1, 5, 7, 8, 20, 27, 28])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, optimizer, step):
    """In the middle of an epoch, after its last batch, and at the very end."""
    whole = make(optimizer)
    whole.fit(4)
    first = make(optimizer, [StopAfter(step), CheckpointCallback(tmp_path / "checkpoint")])
    first.fit(4)
    assert first.step == step
    second = make(optimizer)
    load_checkpoint(second, tmp_path / "checkpoint")
    assert second.step == step
    second.fit(4)
    assert state(second) == state(whole)
    assert untimed(second.history) == untimed(whole.history)


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    trainer = make()
    trainer.fit(2)
    before = state(trainer)
    trainer.fit(2)
    assert (state(trainer), trainer.step) == (before, 14)


def test_the_metrics_file_has_one_line_per_epoch_also_after_resuming(tmp_path):
    path = tmp_path / "metrics.jsonl"
    one = make(callbacks=[CheckpointCallback(tmp_path / "c", every_seconds=1e9), MetricsFile(path), StopAfter(10)])
    one.fit(4)
    path.write_text(path.read_text() + '{"epoch": 2, "of": "a run that was killed later"}\n')
    two = make(callbacks=[MetricsFile(path)])
    load_checkpoint(two, tmp_path / "c")
    two.fit(4)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == two.history
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    trainer = make(callbacks=[MetricsFile(path)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"metrics\.jsonl"):
            trainer.fit(50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    text = path.read_text()
    assert text.endswith("\n")
    assert [json.loads(line) for line in text.splitlines()] == trainer.history[:-1]


def test_checkpoints_are_taken_at_both_ends_and_when_it_is_time(tmp_path, monkeypatch):
    from odyssey.training import checkpoint

    saved = []
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda trainer, path: saved.append(trainer.epoch))
    make(callbacks=[CheckpointCallback(tmp_path / "c", every_seconds=1e9)]).fit(3)
    assert saved == [0, 3]
    saved.clear()
    make(callbacks=[CheckpointCallback(tmp_path / "c", every_seconds=0.0)]).fit(3)
    assert saved == [0, 1, 2, 3, 3]


def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path):
    path = tmp_path / "checkpoint"
    trainer = make()
    trainer.fit(1)
    save_checkpoint(trainer, path)
    with pytest.raises(FormatError, match="another optimizer"):
        load_checkpoint(make("adam"), path)
    other = make()
    other.loader.batch_size = 9
    with pytest.raises(FormatError, match="batch_size=9, found 8"):
        load_checkpoint(other, path)
    other = Trainer(nn.Linear(6, 3), od.optim.SGD([od.Tensor([1.0], requires_grad=True)]), make().loader)
    with pytest.raises(FormatError, match="missing"):
        load_checkpoint(other, path)


def test_what_is_not_a_checkpoint_is_refused_by_name(tmp_path):
    path = tmp_path / "checkpoint"
    od.save({"a": np.ones(3, np.float32)}, path)
    with pytest.raises(FormatError, match="expected a checkpoint of a training run"):
        load_checkpoint(make(), path)
    key = "odyssey.checkpoint"
    for text in ("", "{", "[]", "{}", '{"version": 1}', '{"version": 9, "optimizer_steps": 1, "trainer": {}}',
                 '{"version": 1, "optimizer_steps": 1, "trainer": {}}',
                 '{"version": 1, "optimizer_steps": 1, "trainer": {"running": {"seconds": {}}}}'):  # fmt: skip
        od.save({f"model.{name}": array for name, array in make().model.state_dict().items()}, path, {key: text})
        with pytest.raises(OdysseyError, match="expected"):
            load_checkpoint(make(), path)
    path.write_bytes(b"not at all")
    with pytest.raises(FormatError, match="complete safetensors file"):
        load_checkpoint(make(), path)


def test_ctrl_c_stops_after_the_batch_and_the_handler_comes_back():
    class Interrupt(Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 3:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    trainer = make(callbacks=[Interrupt()])
    with stop_on_interrupt(trainer):
        trainer.fit(4)
    assert (trainer.stopped, trainer.step) == (True, 3)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_interrupts_at_once():
    class Twice(Callback):
        def on_batch_end(self, trainer):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    trainer = make(callbacks=[Twice()])
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt(trainer):
        trainer.fit(4)


def test_ctrl_c_is_left_alone_in_other_threads():
    import threading

    def work():
        with stop_on_interrupt(make()):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_loss_that_is_no_number_ends_the_run():
    trainer = make()
    trainer.base_lr = 1e30
    message = r"expected a finite loss, found (nan|inf) at step .* choose a lower one"
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=message):
        trainer.fit(4)


def test_callbacks_are_told_in_order_and_closed_after_an_error():
    told = []

    class Tell(Callback):
        def on_fit_begin(self, trainer):
            told.append("begin")

        def on_batch_end(self, trainer):
            told.append("batch")
            if trainer.step == 9:
                raise ZeroDivisionError

        def on_epoch_end(self, trainer, metrics):
            told.append("epoch")

        def on_fit_end(self, trainer):
            told.append("end")

        def close(self):
            told.append("close")

    with pytest.raises(ZeroDivisionError):
        make(callbacks=[Tell()]).fit(2)
    assert told == ["begin", *["batch"] * 7, "epoch", "batch", "batch", "close"]


def test_evaluation_counts_the_confusions():
    class Fixed(nn.Module):
        def forward(self, x):
            return od.Tensor(np.eye(4, dtype=np.float32)[x[:, 0]] * 10)

    predicted = np.array([[0], [1], [1], [2], [2], [2], [3]])
    wanted = np.array([0, 1, 2, 1, 2, 2, 3])
    model = Fixed()
    result = evaluate(model, ArrayDataset(predicted, wanted), batch_size=3)
    assert result.accuracy == pytest.approx(5 / 7)
    assert result.errors == 2
    assert result.worst_pair() == (1, 2, 2)
    assert result.confusion[1].tolist() == [0, 1, 1, 0]
    assert model.training
    perfect = evaluate(model, ArrayDataset(predicted, predicted[:, 0]))
    assert (perfect.errors, perfect.worst_pair()) == (0, None)
    one = evaluate(model, ArrayDataset(predicted, wanted), batch_size=1)
    assert one.loss == result.loss


def test_checkpoints_are_taken_in_the_middle_of_long_epochs(tmp_path, monkeypatch):
    from odyssey.training import checkpoint

    saved = []
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda trainer, path: saved.append(trainer.step))
    make(callbacks=[CheckpointCallback(tmp_path / "c", every_seconds=1e9, batch_seconds=0.0)]).fit(1)
    assert saved == [0, 1, 2, 3, 4, 5, 6, 7, 7]


def test_the_best_and_the_last_checkpoints_are_kept(tmp_path):
    trainer = make(callbacks=[CheckpointCallback(tmp_path / "run.safetensors", best=True, last=2)])
    trainer.fit(5)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"run.safetensors", "run-best.safetensors", "run-4.safetensors", "run-5.safetensors"}
    accuracy = [metrics["test_accuracy"] for metrics in trainer.history]
    best = make()
    load_checkpoint(best, tmp_path / "run-best.safetensors")
    assert best.epoch == 1 + accuracy.index(max(accuracy))


def test_without_held_out_images_the_best_epoch_is_that_of_the_training_ones(tmp_path):
    trainer = make(callbacks=[CheckpointCallback(tmp_path / "run.safetensors", best=True)])
    trainer.held_out = None
    trainer.fit(4)
    accuracy = [metrics["train_accuracy"] for metrics in trainer.history]
    best = make()
    load_checkpoint(best, tmp_path / "run-best.safetensors")
    assert best.epoch == 1 + accuracy.index(max(accuracy))


def test_a_negative_number_of_checkpoints_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected last not to be negative, found -1"):
        CheckpointCallback(tmp_path / "c", last=-1)
