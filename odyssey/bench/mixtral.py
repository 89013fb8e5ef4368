"""A Mixtral of 112 million parameters in odyssey and in transformers: the same weights and tokens.

A prompt of 256 tokens, tokens one after another behind it, a training step on 4 x 128 tokens. transformers runs its
experts in each way it has, on torch's fused attention, and trains with torch's fused AdamW.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from odyssey.bench.limits import running
from odyssey.bench.race import Contender, PythonCall
from odyssey.bench.suites import OURS
from odyssey.typing import Array

__all__ = ["TASKS", "Task", "Workload"]

Task: TypeAlias = Literal["prefill", "decode", "training"]
TASKS: tuple[Task, ...] = get_args(Task)

WAYS = "eager", "grouped_mm"  # in which transformers computes experts
PROMPT, STEPS = 256, 8
BATCH, LENGTH = 4, 128
LEARNING_RATE = 1e-4
TOLERANCE = 1e-3  # of the largest logit, or of the loss
SETTINGS: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 2048,
}


class Workload:
    """One task, for everybody who can do it."""

    def __init__(self, task: Task, settings: dict[str, Any] | None = None) -> None:
        self.task = task
        self._settings = SETTINGS if settings is None else settings
        shape = (BATCH, LENGTH) if task == "training" else (1, PROMPT + STEPS)
        self._ids = np.random.default_rng(0).integers(0, self._settings["vocab_size"], shape)
        self._expected: Array | None = None

    def contenders(self, threads: int, isa: str | None = None) -> list[Contender]:
        """odyssey first, then transformers in each of its ways. PyTorch's threads are the caller's affair."""
        with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as folder:
            theirs = {f"transformers, {way}": _transformers(self.task, self._settings, self._ids, way) for way in WAYS}
            next(iter(theirs.values())).model.save_pretrained(folder)
            ours = _odyssey(self.task, Path(folder), self._ids)
        self._expected = np.asarray(theirs[f"transformers, {WAYS[0]}"](), np.float64)
        found: list[Contender] = [PythonCall(OURS, ours, around=partial(running, threads, isa))]
        return found + [PythonCall(name, call) for name, call in theirs.items()]

    def check(self, name: str, result: Any) -> str | None:
        """What is wrong with a contender's loss or logits; None if nothing.

        A training step changes the weights, so that a later one has a lower loss: it is held against the first's.
        """
        assert self._expected is not None
        found = np.asarray(result, np.float64)
        error = float(np.max(np.abs(found - self._expected)))
        largest = float(np.max(np.abs(self._expected)))
        allowed = 0.2 if self.task == "training" else TOLERANCE
        return None if error <= allowed * largest else f"off by {error:.3g} where values reach {largest:.3g}"


def _odyssey(task: Task, folder: Path, ids: Array) -> Callable[[], Any]:
    from odyssey.models import from_pretrained
    from odyssey.nn.functional import cross_entropy
    from odyssey.optim import AdamW
    from odyssey.tensor import no_grad

    # Laid out once, as one would who decodes: the bits are the same.
    model = from_pretrained(folder, dtype="float32", packed=task != "training")
    if task == "training":
        model.train()
        # Weights that are mapped from a file that is soon gone are made the model's own.
        for parameter in model.parameters():
            parameter.data = np.array(parameter.data)
        optimizer = AdamW(model.parameters(), LEARNING_RATE)
        inputs, labels = ids[:, :-1], ids[:, 1:].reshape(-1)

        def train() -> Any:
            logits = model(inputs)
            loss = cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return train
    cache = model.new_cache(1, PROMPT + STEPS)

    def prefill() -> Any:
        cache.lengths[:] = 0
        return model(ids[:, :PROMPT], cache=cache, logits="last").data[0, -1]

    def decode() -> Any:
        cache.lengths[:] = PROMPT
        for step in range(PROMPT, PROMPT + STEPS):
            with no_grad():
                logits = model(ids[:, step : step + 1], cache=cache, logits="last")
        return logits.data[0, -1]

    prefill()
    return prefill if task == "prefill" else decode


class _Call:
    """A function that keeps its model."""

    def __init__(self, model: Any, function: Callable[[], Any]) -> None:
        self.model = model
        self.function = function

    def __call__(self) -> Any:
        return self.function()


def _transformers(task: Task, settings: dict[str, Any], ids: Array, way: str) -> _Call:
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**settings))
    model.set_experts_implementation(way)
    tokens = torch.from_numpy(ids)
    if task == "training":
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, fused=True)

        def train() -> Any:
            logits = model(tokens[:, :-1], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        return _Call(model, train)
    model.eval()
    kept: Any = None

    def prefill() -> Any:
        nonlocal kept
        with torch.inference_mode():
            found = model(tokens[:, :PROMPT], use_cache=True, logits_to_keep=1)
        kept = found.past_key_values
        return found.logits[0, -1].numpy()

    def decode() -> Any:
        with torch.inference_mode():
            for step in range(PROMPT, PROMPT + STEPS):
                found = model(tokens[:, step : step + 1], past_key_values=kept, use_cache=True)
        kept.crop(-STEPS)
        return found.logits[0, -1].numpy()

    prefill()
    return _Call(model, prefill if task == "prefill" else decode)
