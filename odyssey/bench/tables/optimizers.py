"""Optimizer steps over the parameters of a ResNet-18, against PyTorch's fused optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from odyssey import isa, threads
from odyssey.bench.limits import running
from odyssey.bench.peers import absent, equal_threads
from odyssey.bench.race import PythonCall, race
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.typing import Array

__all__ = ["sections"]

STEPS = 20
MOST_OFF = 1e-4  # after 20 steps of 1e-3 to 1e-1, in float32
STAGES = (64, 128, 256, 512)
# Name -> settings of both, and what is to be reached: the issue asks for AdamW.
OPTIMIZERS: dict[str, tuple[dict[str, Any], float | None]] = {
    "AdamW": ({"lr": 1e-3, "weight_decay": 0.01}, 1.0),
    "Adam": ({"lr": 1e-3}, None),
    "SGD": ({"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}, None),
}


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    for count in (1, 2):
        yield _section(request, count)


def shapes() -> list[tuple[int, ...]]:
    """Of a ResNet-18's 62 parameters, 11 173 962 numbers, with the stem for images of 32 by 32 and ten classes."""
    found: list[tuple[int, ...]] = [(64, 3, 3, 3), (64,), (64,)]
    channels = 64
    for width in STAGES:
        for block in range(2):
            found += [(width, channels, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            if block == 0 and width != channels:
                found += [(width, channels, 1, 1), (width,), (width,)]
            channels = width
    return [*found, (10, 512), (10,)]


def _section(request: Request, count: int) -> Section:
    title = f"{STEPS} optimizer steps over a ResNet-18's parameters, {count} thread{'s' * (count > 1)}"
    if threads.affinity() < count:
        return Section(title, [open_line("two threads", "this machine has one processor")])
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes()]
    return Section(title, [_line(request, name, arrays, count) for name in OPTIMIZERS])


def _line(request: Request, name: str, arrays: list[Array], count: int) -> Line:
    settings, goal = OPTIMIZERS[name]
    what = f"{name}, 11.2 M parameters in 62 arrays, {STEPS} steps"
    setting = f"{isa.active()}, {count} thread{'s' * (count > 1)}"
    request.progress(f"{what}, {setting}")
    peer = _torch(name, arrays, settings)
    if peer is None:
        return open_line(what, absent("torch") or "torch is absent", setting)
    params, ours = _ours(name, arrays, settings)
    others, theirs = peer
    with equal_threads(count):
        ours()
        theirs()
        off = max(float(np.abs(np.subtract(p, other)).max()) for p, other in zip(params, others, strict=True))
        if not off <= MOST_OFF:
            why = f"parameters are {off:.2g} from torch's after {STEPS} steps"
            return open_line(what, why, setting, "not measured")
        contenders = [PythonCall(OURS, ours, around=partial(running, count)), PythonCall("torch", theirs)]
        outcome = race(contenders, rules=request.rules)
    note = ", ".join(f"{each} {1e3 * outcome.seconds(each).median:.4g} ms" for each in (OURS, "torch"))
    return judged(what, setting, outcome.ratio("torch", OURS), goal, "x torch fused", note=note)


def _ours(name: str, arrays: list[Array], settings: dict[str, Any]) -> tuple[list[Array], Callable[[], None]]:
    """The parameters' arrays, and what takes the steps."""
    from odyssey import optim
    from odyssey.tensor import Tensor

    params = [Tensor(one.copy(), requires_grad=True) for one in arrays]
    for p, one in zip(params, arrays, strict=True):
        p.grad = one.copy()
    return [p.data for p in params], partial(_steps, getattr(optim, name)(params, **settings))


def _torch(name: str, arrays: list[Array], settings: dict[str, Any]) -> tuple[list[Array], Callable[[], None]] | None:
    if absent("torch"):
        return None
    import torch  # type: ignore[import-not-found,unused-ignore]

    params = [torch.nn.Parameter(torch.from_numpy(one.copy())) for one in arrays]
    for p, one in zip(params, arrays, strict=True):
        p.grad = torch.from_numpy(one.copy())
    step = partial(_steps, getattr(torch.optim, name)(params, fused=True, **settings))
    return [p.detach().numpy() for p in params], step


def _steps(optimizer: Any) -> None:
    for _ in range(STEPS):
        optimizer.step()
