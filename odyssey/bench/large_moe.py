"""The 6.9-billion-parameter mixture of experts: a folder of random weights, and how fast tokens come from it.

It is measured in a process of its own, because its weights and those of a peer do not fit into memory side by side.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from odyssey.bench.decoding import DECODED, WARM, pace
from odyssey.serialization.atomic import write_bytes
from odyssey.typing import Array

__all__ = ["Figures", "first_token_seconds", "measure", "write_checkpoint"]


@dataclass(frozen=True)
class Figures:
    """What came of a process.

    Attributes:
        prefill: tokens of the prompt in a second.
        decode: tokens in a second, one after another.
        read: bytes in a second that memory was read at meanwhile.
        of_limit: for each token decoded, the rate at which its weights were read, as a part of the rate at which
            memory was read in the same round.
        bytes_per_token: of weights that a token sees.
        resident: the most memory that the process had, as a multiple of its weights, before the limit was measured.
    """

    prefill: float
    decode: float
    read: float
    of_limit: list[float]
    bytes_per_token: float
    resident: float


def write_checkpoint(path: Path, config: Any) -> None:
    """Write a folder for `config`, a `MoEConfig`, with random bfloat16 weights and a tokenizer of as many tokens."""
    from odyssey.models.pretrained.random_weights import write_random

    write_random(config, path)
    write_bytes(path / "tokenizer.json", _tokenizer(config.vocab_size).to_str())


def _tokenizer(size: int) -> Any:
    """A tokenizer of bytes, and of other tokens that no text has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    names += [f"unused{place}" for place in range(size - len(names))]
    tokenizer = Tokenizer(models.BPE({name: place for place, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def measure(path: Path, threads: int, prompt: int, dtype: str, precision: str, packed: bool) -> Figures:
    """The figures of a new process."""
    layout = "packed" if packed else "rows"
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "odyssey.bench.large_moe",
            str(path),
            str(threads),
            str(prompt),
            dtype,
            precision,
            layout,
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Figures(**json.loads(answer.stdout.splitlines()[-1]))


def first_token_seconds(path: Path) -> float:
    """From starting the command to the first byte it writes."""
    began = perf_counter()
    command = [sys.executable, "-m", "odyssey", "generate", str(path), "Once upon a time", "--stream"]
    with subprocess.Popen([*command, "--max-new-tokens", "1"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        taken = perf_counter() - began
        process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"odyssey generate: expected a token, found exit code {process.returncode}")
    return taken


def _measure(path: str, threads: int, prompt: int, dtype: Any, precision: Any, layout: str) -> Figures:
    import odyssey as od
    from odyssey.tensor import no_grad

    with od.threads.limit(threads), no_grad():
        model = od.models.from_pretrained(path, dtype=dtype, precision=precision, packed=layout == "packed")
        ids = np.random.default_rng(1).integers(0, model.config.vocab_size, (1, prompt + DECODED))
        weights, active = _weights(model)

        def run(tokens: Array, cache: Any) -> float:
            began = perf_counter()
            model(tokens, cache=cache, logits="last")
            return perf_counter() - began

        prompts = []
        for _ in range(3):
            cache = model.new_cache(1, prompt + DECODED)
            prompts.append(run(ids[:, :prompt], cache))

        def decode(step: int) -> float:
            return run(ids[:, prompt + step : prompt + step + 1], cache)

        for step in range(WARM):
            decode(step)
        resident = _peak_resident() / weights
        paced = pace(decode, range(WARM, DECODED), threads)
    parts = paced.of_limit(active)
    return Figures(prompt / min(prompts[1:]), paced.decode, paced.read, parts, active, resident)


def _weights(model: Any) -> tuple[int, float]:
    """The bytes of all weights, and of those that a token sees."""
    from odyssey.nn.stored import named_stored_weights

    config, total, active = model.config, 0, 0.0
    for name, weight in named_stored_weights(model):
        total += weight.nbytes
        if name.startswith("embedding"):
            active += weight.nbytes / config.vocab_size
        elif len(weight.shape) == 3:
            active += weight.nbytes * config.top_k / config.experts
        else:
            active += weight.nbytes
    rest = sum(parameter.data.nbytes for parameter in model.parameters())
    return total + rest, active + rest


def _peak_resident() -> int:
    """The most memory that this process ever had, in bytes."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    _folder, _threads, _prompt, *_rest = sys.argv[1:]
    print(json.dumps(asdict(_measure(_folder, int(_threads), int(_prompt), *_rest))))
