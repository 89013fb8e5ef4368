"""Other losses and tasks, clipping, accumulation, averages, schedules with a state, early stopping: and their resuming."""

import json
from functools import partial

import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.data import ArrayDataset, DataLoader
from odyssey.errors import FormatError
from odyssey.training import (
    Callback,
    CheckpointCallback,
    EarlyStopping,
    Trainer,
    evaluate,
    evaluate_regression,
    load_checkpoint,
    save_checkpoint,
)

F = nn.functional


def numbers(count=50):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 6)).astype(np.float32)
    return ArrayDataset(x, (x @ rng.normal(size=(6, 2))).astype(np.float32))


def classes(count=50):
    data = numbers(count)
    inputs, targets = data.batch(np.arange(count))
    return ArrayDataset(inputs, targets.argmax(1))


def model(seed=1, dropout=0.0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Linear(6, 8, activation="relu", generator=rng),
        *([nn.Dropout(dropout, generator=rng)] if dropout else []),
        nn.Linear(8, 2, generator=rng),
    )


def make(
    data, callbacks=(), batch_size=8, dropout=0.0, average=False, held_out=True, schedule=None, lr=0.05, **options
):
    net = model(dropout=dropout)
    weights, biases = [[p for name, p in net.named_parameters() if name.endswith(end)] for end in ("weight", "bias")]
    groups = [{"params": weights, "weight_decay": 1e-3}, {"params": biases, "lr": 2 * lr}]
    optimizer = od.optim.SGD(groups, lr=lr, momentum=0.9)
    ema = od.optim.EMA(net.parameters(), 0.9, warmup=True) if average else None
    loader = DataLoader(data, batch_size, shuffle=True, seed=3)
    return Trainer(net, optimizer, loader, data if held_out else None, schedule, callbacks, ema=ema, **options)


def state(trainer):
    arrays = {name: array.tobytes() for name, array in trainer.model.state_dict().items()}
    if trainer.ema is not None:
        arrays |= {f"ema.{i}": average.tobytes() for i, average in enumerate(trainer.ema.averages)}
    return arrays


def untimed(history):
    timed = ("seconds", "images_per_second")
    return [{name: value for name, value in metrics.items() if name not in timed} for metrics in history]


class StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, trainer):
        if trainer.step == self.step:
            trainer.stop()


def everything(callbacks=()):
    schedule = od.optim.warmup(3, od.optim.Plateau("test_mae", patience=0, threshold=0.5, factor=0.5))
    return make(
        numbers(), callbacks, task="regression", loss=partial(F.smooth_l1_loss, beta=0.5), clip=0.5, accumulate=3, average=True,
        dropout=0.25, schedule=schedule,
    )  # fmt: skip


@pytest.mark.parametrize("step", [1, 2, 3, 4, 8, 17, 18])
def test_a_stopped_run_with_everything_resumes_to_the_same_bits(tmp_path, step):
    """Averages, dropout's masks, the schedule's count, groups of batches of which the last is short."""
    whole = everything()
    whole.fit(6)
    assert whole.step == 6 * 3
    first = everything([StopAfter(step), CheckpointCallback(tmp_path / "c")])
    first.fit(6)
    assert first.step == step
    second = everything()
    load_checkpoint(second, tmp_path / "c")
    second.fit(6)
    assert state(second) == state(whole)
    assert untimed(second.history) == untimed(whole.history)
    assert {metrics["lr"] for metrics in whole.history} > {0.05}


def test_a_regression_learns_and_is_measured():
    trainer = make(numbers(), task="regression")
    trainer.fit(30)
    last = trainer.history[-1]
    assert set(last) >= {"train_loss", "train_mae", "test_loss", "test_mae", "test_r2"}
    assert "train_accuracy" not in last
    assert last["test_mae"] < 0.5 * trainer.history[0]["test_mae"]
    assert last["test_r2"] > 0.9
    found = evaluate_regression(trainer.model, numbers(), batch_size=7)
    inputs, targets = numbers().batch(np.arange(50))
    off = trainer.model.eval()(inputs).data.astype(np.float64) - targets
    assert found.loss == pytest.approx((off**2).mean(), rel=1e-5)
    assert found.mae == pytest.approx(np.abs(off).mean(), rel=1e-6) == trainer.regression.mae
    assert found.r2 == pytest.approx(
        1 - (off**2).sum() / ((targets - targets.mean(dtype=np.float64)) ** 2).sum(), rel=1e-6
    )


def test_a_regression_of_what_does_not_vary():
    flat = ArrayDataset(np.ones((4, 3), np.float32), np.zeros((4, 3), np.float32))
    assert evaluate_regression(nn.Identity(), flat).r2 == 0.0
    ones = ArrayDataset(np.ones((4, 3), np.float32), np.ones((4, 3), np.float32))
    assert evaluate_regression(nn.Identity(), ones).r2 == 1.0


def test_a_loss_of_ones_own_is_what_falls_and_what_is_reported():
    smoothed = partial(F.cross_entropy, label_smoothing=0.3)
    trainer = make(classes(), loss=smoothed)
    trainer.fit(10)
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]
    inputs, labels = classes().batch(np.arange(50))
    expected = smoothed(trainer.model.eval()(inputs), labels).item()
    assert trainer.history[-1]["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert trainer.history[-1]["test_accuracy"] == evaluate(trainer.model, classes()).accuracy


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("count", [48, 50])
def test_accumulated_batches_make_the_big_batchs_update(task, count):
    """Also where the last group is short and its last batch shorter: 50 is 6 of 8 and one of 2."""
    data = classes(count) if task == "classification" else numbers(count)
    small = make(data, task=task, accumulate=3, batch_size=8)
    big = make(data, task=task, batch_size=24)
    small.fit(3)
    big.fit(3)
    assert small.step == big.step == 3 * small.steps_per_epoch
    for name, array in small.model.state_dict().items():
        np.testing.assert_allclose(array, big.model.state_dict()[name], rtol=2e-5, atol=1e-6)
    assert small.history[-1]["train_loss"] == pytest.approx(big.history[-1]["train_loss"], rel=1e-5)
    assert small.history[-1]["step"] == big.history[-1]["step"]


def test_gradients_are_clipped_before_each_step(monkeypatch):
    from odyssey.training import trainer as module

    norms = []

    def watched(params, most):
        params = list(params)
        before = od.optim.clip_grad_norm_(params, most)
        norms.append((before, float(np.sqrt(sum((p.grad.astype(float) ** 2).sum() for p in params)))))
        return before

    monkeypatch.setattr(module, "clip_grad_norm_", watched)
    trainer = make(numbers(), task="regression", clip=0.25)
    trainer.fit(1)
    assert len(norms) == 7
    assert max(before for before, _ in norms) > 0.5
    assert all(after <= 0.25 * (1 + 1e-5) for _, after in norms)


def test_a_norm_that_is_no_number_ends_the_run_before_the_step():
    trainer = make(numbers(), task="regression", clip=1.0, loss=lambda y, t: F.sqrt(F.scale((y * y).sum(), 0.0)))
    before = state(trainer)
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="expected a finite norm of the gradients, found nan"),
    ):
        trainer.fit(1)
    assert state(trainer) == before


def test_averages_are_evaluated_and_the_parameters_come_back():
    trainer = make(classes(), average=True)
    trainer.fit(2)
    assert trainer.ema.updates == trainer.step == 14
    plain = evaluate(trainer.model, classes()).loss
    with trainer.ema.applied():
        averaged = evaluate(trainer.model, classes()).loss
    assert trainer.history[-1]["test_loss"] == averaged != plain
    other = make(classes())
    other.fit(2)
    assert {name: array.tobytes() for name, array in other.model.state_dict().items()} == {
        name: array.tobytes() for name, array in trainer.model.state_dict().items()
    }


def test_the_schedule_scales_each_groups_rate():
    trainer = make(numbers(), task="regression", schedule=od.optim.step_decay(7, 0.5))
    trainer.fit(3)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.05 * 0.25, 0.1 * 0.25]
    assert [metrics["lr"] for metrics in trainer.history] == [0.05, 0.025, 0.0125]
    trainer.base_lr = 0.5
    assert trainer.base_lrs == [0.5, 0.5]


@pytest.mark.parametrize("patience", [1, 3])
@pytest.mark.parametrize(("mode", "metric"), [("min", "test_mae"), ("max", "test_r2")])
def test_a_run_stops_early_and_where_a_resumed_one_does(tmp_path, patience, mode, metric):
    def run(callbacks=()):
        stopping = EarlyStopping(metric, patience, min_delta=0.02, mode=mode)
        return make(numbers(), [stopping, *callbacks], task="regression")

    whole = run()
    whole.fit(200)
    assert whole.stopped
    sign = 1 if mode == "max" else -1
    values = [sign * metrics[metric] for metrics in whole.history]
    waited, best = 0, values[0]
    for value in values[1:]:
        waited, best = (0, value) if value > best + 0.02 else (waited + 1, best)
    assert waited == patience
    assert patience < len(values) < 200
    first = run([StopAfter(7 * (len(values) - 1) + 2), CheckpointCallback(tmp_path / "c")])
    first.fit(200)
    second = run()
    load_checkpoint(second, tmp_path / "c")
    second.fit(200)
    assert state(second) == state(whole)
    second.fit(300)  # started again it stops at once
    assert second.step == whole.step


def test_settings_that_make_no_sense_are_refused():
    for options in ({"accumulate": 0}, {"clip": 0.0}, {"clip": -1.0}, {"task": "ranking"}):
        with pytest.raises(ValueError, match="Trainer: expected"):
            make(classes(), **options)
    for options in ({"patience": 0}, {"mode": "least"}):
        with pytest.raises(ValueError, match="EarlyStopping: expected"):
            EarlyStopping(**options)


def test_metrics_that_are_not_there_are_named():
    with pytest.raises(
        ValueError, match="schedule's metric 'test_loss' among the epoch's, found epoch, step, lr, train_loss"
    ):
        make(classes(), held_out=False, schedule=od.optim.Plateau()).fit(1)
    with pytest.raises(ValueError, match="expected 'test_los' among the epoch's metrics"):
        make(classes(), [EarlyStopping("test_los")]).fit(1)


def test_checkpoints_of_runs_made_otherwise_are_refused_by_name(tmp_path):
    path = tmp_path / "c"

    def saved(**options):
        trainer = make(classes(), **options)
        trainer.fit(1)
        save_checkpoint(trainer, path)

    saved(accumulate=2)
    with pytest.raises(FormatError, match="run with accumulate=1, found 2"):
        load_checkpoint(make(classes()), path)
    saved(average=True)
    with pytest.raises(FormatError, match="expected a run without averaged parameters, found one with;"):
        load_checkpoint(make(classes()), path)
    saved()
    with pytest.raises(FormatError, match="expected a run with averaged parameters, found one without;"):
        load_checkpoint(make(classes(), average=True), path)
    with pytest.raises(FormatError, match="whose schedule is told a metric, found none of one"):
        load_checkpoint(make(classes(), schedule=od.optim.Plateau()), path)
    saved(schedule=od.optim.Plateau())
    with pytest.raises(FormatError, match="whose schedule has none, found one"):
        load_checkpoint(make(classes()), path)


def test_a_checkpoint_from_before_these_options_resumes(tmp_path):
    """Its state has neither accumulate nor modules, and its sums no error."""
    path = tmp_path / "c"
    whole, first = make(classes()), make(classes(), [StopAfter(10)])
    whole.fit(3)
    first.fit(3)
    save_checkpoint(first, path)
    arrays, metadata = od.serialization.load_metadata(path)
    old = json.loads(metadata["odyssey.checkpoint"])
    del old["trainer"]["accumulate"], old["trainer"]["modules"], old["trainer"]["running"]["error"]
    od.save(arrays, path, {"odyssey.checkpoint": json.dumps(old)})
    second = make(classes())
    load_checkpoint(second, path)
    second.fit(3)
    assert state(second) == state(whole)


def test_arrays_of_another_part_are_refused_by_name(tmp_path):
    path = tmp_path / "c"
    save_checkpoint(make(classes()), path)
    arrays, metadata = od.serialization.load_metadata(path)
    od.save({**arrays, "averages.0": np.ones(1)}, path, metadata)
    with pytest.raises(FormatError, match=r"arrays of model, optimizer and averages, found 'averages\.0'"):
        load_checkpoint(make(classes()), path)


def test_the_views_show_a_regressions_error(tmp_path):
    import io

    pytest.importorskip("matplotlib")
    pytest.importorskip("rich")
    from rich.console import Console

    from odyssey.training.curve import draw_curve
    from odyssey.training.progress import ProgressBar, ProgressLines

    for view in (ProgressLines, ProgressBar):
        text = io.StringIO()
        console = Console(file=text, width=140, force_terminal=view is ProgressBar)
        shown = view(console)
        shown.interval = 0.0
        trainer = make(numbers(), [shown], task="regression", accumulate=2)
        trainer.fit(2)
        assert f"error {trainer.history[-1]['train_mae']:7.4g}".replace("  ", " ").split()[1] in text.getvalue()
        assert f"{trainer.history[0]['test_mae']:.4g}" in text.getvalue()
        assert "accuracy" not in text.getvalue().replace("accuracy 0.00%", "")
    draw_curve(trainer.history, tmp_path / "curve.svg", "errors")
    assert "mean absolute error" in (tmp_path / "curve.svg").read_text()


def test_a_penalty_is_in_the_gradient_and_not_in_the_loss():
    plain, held = make(numbers(), task="regression"), make(numbers(), task="regression")
    held.penalty = lambda model: F.scale(sum((p * p).sum() for p in model.parameters()), 10.0)
    for trainer in (plain, held):
        trainer.fit(1)
    first = [trainer.history[0]["train_loss"] for trainer in (plain, held)]
    assert first[1] > first[0]  # it learns less, but what is reported is the loss alone
    assert sum(np.square(p.data).sum() for p in held.model.parameters()) < sum(
        np.square(p.data).sum() for p in plain.model.parameters()
    )


def test_a_task_of_ones_own_is_used_and_what_it_lacks_is_named():
    from odyssey.training import Regression, Task

    class Doubled(Regression):
        score = "double"
        label = "twice"

        def scored(self, running):
            return 2 * super().scored(running)

    trainer = make(numbers(), task=Doubled())
    trainer.fit(1)
    assert trainer.history[0]["train_double"] > 0
    assert trainer.regression is trainer.evaluation
    for name, args in (("loss", (1, 2)), ("scored", (1,)), ("evaluate", (1, 2))):
        with pytest.raises(NotImplementedError, match=f"Task: expected .* {name}"):
            getattr(Task(), name)(*args)
    with pytest.raises(ValueError, match="or a Task, found 'ranking'"):
        make(numbers(), task="ranking")
