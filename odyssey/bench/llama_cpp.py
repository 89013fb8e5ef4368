"""llama.cpp as a peer: a file of its kind with the shapes of a model, and how fast it is with it, in another process.

The weights are random numbers, the same ones again in every layer: how fast they are read does not depend on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from odyssey.bench.decoding import DECODED, WARM, pace
from odyssey.typing import Array

__all__ = ["Kind", "Rates", "Shape", "file_bytes", "rates", "write_gguf"]

Kind: TypeAlias = Literal["bf16", "q8_0"]


class Shape(NamedTuple):
    """A decoder of the Mixtral kind."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_features: int
    experts: int
    top_k: int
    ffn: int
    vocabulary: int
    context: int


class Rates(NamedTuple):
    """Tokens in a second, of a prompt and one after another, and the bytes that memory was read at meanwhile."""

    prefill: float
    decode: float
    read: float


def _tensors(shape: Shape) -> list[tuple[str, tuple[int, ...], bool]]:
    """Names, shapes, and whether a tensor is narrow: norms and routers are float32 in llama.cpp."""
    hidden, queries, keys = shape.hidden, shape.heads * shape.head_features, shape.kv_heads * shape.head_features
    found: list[tuple[str, tuple[int, ...], bool]] = [("token_embd", (shape.vocabulary, hidden), True)]
    for layer in range(shape.layers):
        each: list[tuple[str, tuple[int, ...], bool]] = [
            ("attn_norm", (hidden,), False),
            ("attn_q", (queries, hidden), True),
            ("attn_k", (keys, hidden), True),
            ("attn_v", (keys, hidden), True),
            ("attn_output", (hidden, queries), True),
            ("ffn_norm", (hidden,), False),
            ("ffn_gate_inp", (shape.experts, hidden), False),
            ("ffn_gate_exps", (shape.experts, shape.ffn, hidden), True),
            ("ffn_up_exps", (shape.experts, shape.ffn, hidden), True),
            ("ffn_down_exps", (shape.experts, hidden, shape.ffn), True),
        ]
        found += [(f"blk.{layer}.{name}", size, narrow) for name, size, narrow in each]
    return [*found, ("output_norm", (hidden,), False), ("output", (shape.vocabulary, hidden), True)]


def file_bytes(shape: Shape, kind: Kind) -> int:
    """What the file takes, within a percent."""
    narrow = {"bf16": 2.0, "q8_0": 34 / 32}[kind]
    return int(sum(np.prod(size) * (narrow if small else 4.0) for _, size, small in _tensors(shape)))


def write_gguf(path: Path, shape: Shape, kind: Kind) -> None:
    """Write a model of random weights as `gguf` lays it out."""
    gguf: Any = import_module("gguf")
    rng = np.random.default_rng(0)
    largest = max(int(np.prod(size)) for _, size, narrow in _tensors(shape) if narrow)
    numbers = rng.standard_normal(largest, np.float32) * np.float32(0.02)
    types = gguf.GGMLQuantizationType
    if kind == "bf16":
        stored = (numbers.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        each, raw = 2.0, types.BF16
    else:
        stored = gguf.quants.quantize(numbers.reshape(-1, 32), types.Q8_0).reshape(-1)
        each, raw = 34 / 32, types.Q8_0
    writer = gguf.GGUFWriter(str(path), "llama", use_temp_file=False)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_features)
    writer.add_value_length(shape.head_features)
    writer.add_rope_dimension_count(shape.head_features)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(shape.top_k)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    for name, size, narrow in _tensors(shape):
        count = int(np.prod(size))
        if narrow:
            row = int(size[-1] * each)
            data: Array = stored[: int(count * each)].reshape(*size[:-1], row)
            writer.add_tensor(f"{name}.weight", data, raw_dtype=raw)
        else:
            ones = np.ones(size, np.float32) if len(size) == 1 else numbers[:count].reshape(size)
            writer.add_tensor(f"{name}.weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rates(path: Path, threads: int, prompt: int) -> Rates:
    """What llama.cpp reaches with a file, in a process of its own, its memory-mapped weights read once before."""
    answer = subprocess.run(
        [sys.executable, "-m", "odyssey.bench.llama_cpp", str(path), str(threads), str(prompt)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Rates(**json.loads(answer.stdout.splitlines()[-1]))


def _measure(path: str, threads: int, prompt: int) -> Rates:
    """In that process: a prompt three times, the first untimed, then tokens one by one behind it."""
    cpp: Any = import_module("llama_cpp")
    quiet = cpp.llama_log_callback(lambda *_: None)
    cpp.llama_log_set(quiet, None)
    cpp.llama_backend_init()
    settings = cpp.llama_model_default_params()
    model = cpp.llama_model_load_from_file(path.encode(), settings)
    if not model:
        raise RuntimeError(f"{path}: expected a model that llama.cpp opens, found one that it refuses")
    options = cpp.llama_context_default_params()
    options.n_ctx = prompt + DECODED + 8
    options.n_batch = options.n_ubatch = prompt
    options.n_threads = options.n_threads_batch = threads
    context = cpp.llama_init_from_model(model, options)
    vocabulary = cpp.llama_vocab_n_tokens(cpp.llama_model_get_vocab(model))
    ids = np.random.default_rng(1).integers(0, vocabulary, prompt + DECODED).astype(np.int32)
    token = cpp.llama_token * prompt

    def run(numbers: Array) -> float:
        began = perf_counter()
        given = token(*map(int, numbers))
        if cpp.llama_decode(context, cpp.llama_batch_get_one(given, len(numbers))):
            raise RuntimeError("llama.cpp: expected to go through the tokens, found it refusing them")
        cpp.llama_get_logits_ith(context, -1)[0]
        return perf_counter() - began

    prompts = []
    for _ in range(3):
        cpp.llama_memory_clear(cpp.llama_get_memory(context), True)
        prompts.append(run(ids[:prompt]))

    def decode(step: int) -> float:
        return run(ids[prompt + step : prompt + step + 1])

    for step in range(WARM):
        decode(step)
    paced = pace(decode, range(WARM, DECODED), threads)
    return Rates(prompt / min(prompts[1:]), paced.decode, paced.read)


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))._asdict()))
