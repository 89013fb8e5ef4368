"""The hyper-connection layer against the same computed eagerly in PyTorch, its growth, and what it adds to a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import log
from typing import Any

import numpy as np

from odyssey import isa, threads
from odyssey.bench.limits import running
from odyssey.bench.peers import absent, equal_threads
from odyssey.bench.race import PythonCall, Spread, race
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.testing.cases.hyper import torch_post, torch_pre
from odyssey.testing.placement import place
from odyssey.typing import Array

__all__ = ["sections"]

STREAMS = 4
MOST_MICROSECONDS = 12.0
SHAPES = ((1, 1024), (64, 1024), (512, 1024))
EXPONENT = 1.05


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _against_torch(request)
    yield _growth(request)
    yield _block(request)
    yield _two_threads(request)


def _operands(tokens: int, hidden: int) -> list[Array]:
    """x, fn, base, scale and a layer's result."""
    rng = np.random.default_rng(0)
    width, outputs = STREAMS * hidden, (2 + STREAMS) * STREAMS
    x = rng.standard_normal((tokens, STREAMS, hidden), np.float32)
    fn = rng.standard_normal((outputs, width), np.float32) * np.float32(0.02)
    f = rng.standard_normal((tokens, hidden), np.float32)
    return [place(one) for one in (x, fn, np.zeros(outputs, np.float32), np.ones(3, np.float32), f)]


def _forward(x: Array, fn: Array, base: Array, scale: Array, f: Array) -> Array:
    import odyssey as od

    _, post, comb, _ = od.hyper_pre(x, fn, base, scale)
    return od.hyper_post(f, x, post, comb)


def _with_backward(x: Array, fn: Array, base: Array, scale: Array, f: Array) -> Any:
    """The gradients of x, f and the parameters, given that of the result: here f and x."""
    import odyssey as od

    _, post, comb, mix = od.hyper_pre(x, fn, base, scale)
    od.hyper_post(f, x, post, comb)
    _, by_x, by_post, by_comb = od.hyper_post_backward(x, f, x, post, comb)
    dx, *rest = od.hyper_pre_backward(f, by_post, by_comb, x, fn, base, scale, mix)
    return od.add(dx, by_x, dx), rest


def _torch(backward: bool, operands: list[Array]) -> Callable[[], Any] | None:
    if absent("torch"):
        return None
    import torch  # type: ignore[import-not-found,unused-ignore]

    given = [torch.from_numpy(one).requires_grad_(backward) for one in operands]
    x, fn, base, scale, f = given

    def call() -> Any:
        if not backward:
            with torch.no_grad():
                _, post, comb = torch_pre(torch, x, fn, base, scale)
                return torch_post(torch, f, x, post, comb)
        collapsed, post, comb = torch_pre(torch, x, fn, base, scale)
        y = torch_post(torch, f, x, post, comb)
        # In the place of a layer's gradient: f's and x's numbers, as ours has them.
        return torch.autograd.grad([y, collapsed], given, [x.detach(), f.detach()])

    return call


def _against_torch(request: Request) -> Section:
    lines = []
    for tokens, hidden in SHAPES:
        operands = _operands(tokens, hidden)
        for name, ours, goal in (("forward", _forward, 20.0), ("with backward", _with_backward, 15.0)):
            what = f"{STREAMS}x{hidden}, {tokens} token{'s' * (tokens > 1)}, {name}"
            own = partial(ours, *operands)
            peer = _torch(name != "forward", operands)
            lines.append(_one(request, what, own, peer, goal))
    what = f"{STREAMS}x1024, 1 token, forward"
    seconds = _seconds(request, partial(_forward, *_operands(1, 1024)))
    lines.append(judged(what, _setting(1), _spread(1e6 * seconds), MOST_MICROSECONDS, "µs", at_most=True))
    return Section("Hyper-connections against PyTorch", lines)


def _growth(request: Request) -> Section:
    """The exponent over the whole range of sizes."""
    lines = []
    for what, shapes in (
        ("growth with tokens, 64 to 1024", [(tokens, 1024) for tokens in (64, 128, 256, 512, 1024)]),
        ("growth with hidden, 512 to 4096, 64 tokens", [(64, hidden) for hidden in (512, 1024, 2048, 4096)]),
    ):
        request.progress(what)
        seconds = [_seconds(request, partial(_forward, *_operands(*shape))) for shape in shapes]
        exponent = log(seconds[-1] / seconds[0]) / log(np.prod(shapes[-1]) / np.prod(shapes[0]))
        note = ", ".join(f"{1e6 * one:.0f}" for one in seconds) + " µs"
        lines.append(judged(what, _setting(1), _spread(exponent), EXPONENT, "exponent", at_most=True, note=note))
    return Section("Hyper-connections, growth", lines)


def _block(request: Request) -> Section:
    """A transformer block, attention and an MLP, with either residual."""
    from odyssey.tensor import no_grad

    lines = []
    for tokens, hidden in ((512, 1024),):
        request.progress(f"a block of {hidden}, {tokens} tokens")
        blocks = {kind: _Block(kind, hidden) for kind in ("add", "mhc")}
        x = place(np.random.default_rng(0).standard_normal((1, tokens, hidden), np.float32))
        streams = place(np.repeat(x[:, :, np.newaxis], STREAMS, axis=2))

        def run(kind: str, given: Array, blocks: Any = blocks) -> Any:
            with no_grad():
                return blocks[kind](given)

        contenders = [
            PythonCall("add", partial(run, "add", x), around=partial(running, 1)),
            PythonCall("mhc", partial(run, "mhc", streams), around=partial(running, 1)),
        ]
        outcome = race(contenders, rules=request.rules)
        note = ", ".join(f"{kind} {1e3 * outcome.seconds(kind).median:.1f} ms" for kind in blocks)
        what = f"a block of {hidden}, {tokens} tokens, forward: mHC over the plain residual"
        lines.append(judged(what, _setting(1), outcome.ratio("mhc", "add"), 1.1, "x its time", at_most=True, note=note))
    return Section("Hyper-connections in a transformer block", lines)


class _Block:
    def __init__(self, kind: str, hidden: int, heads: int = 16) -> None:
        import odyssey as od

        self.heads = heads
        self.residuals: list[Any] = [od.nn.residual(kind, hidden) for _ in range(2)]
        self.norms = [od.nn.RMSNorm(hidden) for _ in range(2)]
        self.qkv, self.out = od.nn.Linear(hidden, 3 * hidden), od.nn.Linear(hidden, hidden)
        self.up, self.down = od.nn.Linear(hidden, 4 * hidden), od.nn.Linear(4 * hidden, hidden)

    def attention(self, x: Any) -> Any:
        import odyssey as od

        batch, length, hidden = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, hidden // self.heads).transpose(2, 0, 3, 1, 4)
        y = od.nn.functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        return self.out(y.transpose(0, 2, 1, 3).reshape(batch, length, hidden))

    def mlp(self, x: Any) -> Any:
        import odyssey as od

        return self.down(od.nn.functional.silu(self.up(x)))

    def __call__(self, x: Any) -> Any:
        for residual, norm, layer in zip(self.residuals, self.norms, (self.attention, self.mlp), strict=True):
            collapsed, state = residual.pre(x)
            x = residual.post(layer(norm(collapsed)), x, state)
        return x


def _two_threads(request: Request) -> Section:
    title = "Hyper-connections, two threads over one"
    if threads.affinity() < 2:
        return Section(title, [open_line("two threads", "this machine has one processor")])
    lines = []
    for name, call in (("forward", _forward), ("with backward", _with_backward)):
        what = f"{STREAMS}x1024, 512 tokens, {name}"
        request.progress(f"{what}, two threads")
        own = partial(call, *_operands(512, 1024))
        contenders = [PythonCall(f"{n} threads", own, around=partial(running, n)) for n in (2, 1)]
        outcome = race(contenders, rules=request.rules)
        lines.append(judged(what, _setting(2), outcome.ratio("1 threads", "2 threads"), 1.8, "x one thread"))
    return Section(title, lines)


def _one(
    request: Request, what: str, ours: Callable[[], Any], peer: Callable[[], Any] | None, goal: float | None
) -> Line:
    request.progress(what)
    if peer is None:
        return open_line(what, absent("torch") or "torch is absent", _setting(1))
    with equal_threads(1):
        outcome = race(
            [PythonCall(OURS, ours, around=partial(running, 1)), PythonCall("torch", peer)], rules=request.rules
        )
    if "torch" not in outcome.samples:
        return open_line(what, f"torch was refused: {outcome.refused.get('torch')}", _setting(1))
    note = ", ".join(f"{each} {1e6 * outcome.seconds(each).median:.4g} µs" for each in (OURS, "torch"))
    return judged(what, _setting(1), outcome.ratio("torch", OURS), goal, "x torch", note=note)


def _seconds(request: Request, call: Callable[[], Any]) -> float:
    outcome = race([PythonCall(OURS, call, around=partial(running, 1))], rules=request.rules)
    return float(outcome.seconds(OURS).median)


def _spread(value: float) -> Spread:
    return Spread(value, value, value)


def _setting(count: int) -> str:
    return f"{isa.active()}, {count} thread{'s' * (count > 1)}"
