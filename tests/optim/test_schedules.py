"""Schedules: their formulas, PyTorch's schedulers step by step, and the state of those that look at a metric."""

import math

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError
from odyssey.optim.powers import power

optim = od.optim


def test_cosine_rises_and_falls():
    factor = optim.cosine(total=100, warmup=10, floor=0.1)
    values = [factor(step) for step in range(120)]
    assert values[9] == 1.0
    assert values[99] < 0.102
    assert values[100:] == [pytest.approx(0.1)] * 20
    assert values[:10] == sorted(values[:10])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert optim.constant()(5) == 1.0
    with pytest.raises(ValueError, match="warmup"):
        optim.cosine(total=1, warmup=2)


def test_cosine_is_within_a_rounding_of_the_c_librarys():
    factor = optim.cosine(total=997)
    for step in range(998):
        assert factor(step) == pytest.approx(0.5 * (1 + math.cos(math.pi * step / 997)), rel=1e-15, abs=4e-16)


@pytest.mark.parametrize("isa", od.isa.available())
def test_factors_have_the_same_bits_on_every_machine(isa):
    with od.isa.use(isa):
        values = [optim.cosine(1000)(333), optim.exponential(0.97)(123), optim.multistep([3, 5], 0.3)(9)]
    assert [value.hex() for value in values] == ["0x1.803b6aa646232p-1", "0x1.82ac2713b8523p-6", "0x1.70a3d70a3d70ap-4"]


def test_whole_powers():
    assert [power(0.5, n) for n in (0, 1, 2, 10)] == [1.0, 0.5, 0.25, 2.0**-10]
    assert power(0.97, 1000) == pytest.approx(0.97**1000, rel=1e-12)


def test_schedules_refuse_what_makes_no_sense():
    for make in (lambda: optim.step_decay(0), lambda: optim.warmup(-1, optim.constant())):
        with pytest.raises(ValueError, match="expected"):
            make()
    for options in ({"factor": 1.0}, {"mode": "least"}, {"threshold_mode": "relative"}):
        with pytest.raises(ValueError, match="Plateau: expected"):
            optim.Plateau(**options)


def peers(torch):
    """Ours and what makes PyTorch's, for the same curve."""
    schedulers = torch.optim.lr_scheduler

    def after_warmup(make, steps):
        def build(optimizer):
            rise = schedulers.LinearLR(optimizer, 1 / steps, 1.0, steps - 1)
            return schedulers.SequentialLR(optimizer, [rise, make(optimizer)], [steps])

        return build

    step = lambda optimizer: schedulers.StepLR(optimizer, 7, 0.3)  # noqa: E731
    many = lambda optimizer: schedulers.MultiStepLR(optimizer, [5, 20, 20, 60], 0.2)  # noqa: E731
    exponential = lambda optimizer: schedulers.ExponentialLR(optimizer, 0.97)  # noqa: E731
    cosine = lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 150, 0.02)  # noqa: E731
    return {
        "step": (optim.step_decay(7, 0.3), step),
        "multistep": (optim.multistep([60, 5, 20, 20], 0.2), many),
        "exponential": (optim.exponential(0.97), exponential),
        "cosine": (optim.cosine(150, floor=0.1), cosine),
        "warmup + step": (optim.warmup(11, optim.step_decay(7, 0.3)), after_warmup(step, 11)),
        "warmup + multistep": (optim.warmup(11, optim.multistep([5, 20, 20, 60], 0.2)), after_warmup(many, 11)),
        "warmup + exponential": (optim.warmup(11, optim.exponential(0.97)), after_warmup(exponential, 11)),
        "warmup + cosine": (optim.warmup(11, optim.cosine(150, floor=0.1)), after_warmup(cosine, 11)),
    }


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["step", "multistep", "exponential", "cosine"])
@pytest.mark.parametrize("rise", ["", "warmup + "])
def test_learning_rates_are_pytorchs(name, rise):
    torch = pytest.importorskip("torch")
    ours, make = peers(torch)[rise + name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = make(optimizer)
    for step in range(150):
        assert 0.2 * ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-15), step
        optimizer.step()
        scheduler.step()


def noisy(mode):
    """A metric that gets better, worse, stays, and is once no number."""
    rng = np.random.default_rng(0)
    values = np.concatenate([np.linspace(5, 1, 15), np.full(15, 1.0), 1 + rng.random(40), np.linspace(1, 0.2, 10), np.full(40, 0.2)])
    values[33] = np.nan
    return values if mode == "min" else 6 - values


OPTIONS = [
    {},
    {"mode": "max", "patience": 3, "factor": 0.5},
    {"patience": 2, "cooldown": 4, "floor": 0.01},
    {"patience": 0, "threshold": 0.05, "factor": 0.7},
    {"threshold_mode": "abs", "threshold": 0.1, "patience": 4},
    {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "patience": 4},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_plateau_is_pytorchs(options):
    torch = pytest.importorskip("torch")
    theirs = {key: value for key, value in options.items() if key != "floor"}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, min_lr=0.2 * options.get("floor", 0.0), eps=0.0, **theirs
    )
    ours = optim.Plateau(**options)
    for epoch, value in enumerate(noisy(options.get("mode", "min"))):
        ours.observe(float(value))
        scheduler.step(float(value))
        assert 0.2 * ours(epoch) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12), epoch
    assert ours(0) < 1.0


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_plateau_reduces_after_so_many_epochs_and_goes_on_from_its_state(options):
    values = noisy(options.get("mode", "min")).tolist()
    whole = optim.Plateau(**options)
    curve = []
    for value in values:
        whole.observe(value)
        curve.append(whole(0))
    assert curve[0] == 1.0
    assert len(set(curve)) > 1
    for cut in (0, 1, 20, 34, 60):
        one, two = optim.Plateau(**options), optim.warmup(3, optim.Plateau(**options))
        for value in values[:cut]:
            one.observe(value)
        two.load_state_dict(one.state_dict())
        assert two.metric == "test_loss"
        found = []
        for value in values[cut:]:
            two.observe(value)
            found.append(two(5))
        assert found == curve[cut:]
        assert two(0) == pytest.approx(curve[-1] / 3)
        assert two.state_dict() == whole.state_dict()


def test_plateau_counts_patience_and_cooldown():
    schedule = optim.Plateau(patience=2, cooldown=2, factor=0.5)
    curve = []
    for value in (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        schedule.observe(value)
        curve.append(schedule(0))
    assert curve == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_a_foreign_state_is_refused():
    for state in ({}, {"current": 1.0, "best": "x", "bad": 0, "resting": 0}, {"current": None, "best": None, "bad": 0, "resting": 0}):
        with pytest.raises(FormatError, match="Plateau: expected the state of one"):
            optim.Plateau().load_state_dict(state)
