"""llama.cpp as a peer, with stand-ins for its packages: what is written, and how it is asked."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from odyssey.bench import decoding, llama_cpp

SHAPE = llama_cpp.Shape(32, 2, 4, 1, 8, 4, 2, 64, 96, 128)


class Writer:
    made: ClassVar[list["Writer"]] = []

    def __init__(self, path, kind, use_temp_file):
        self.path, self.kind, self.tensors, self.settings = path, kind, {}, {}
        Writer.made.append(self)

    def add_tensor(self, name, array, raw_dtype=None):
        self.tensors[name] = (array, raw_dtype)

    def __getattr__(self, name):
        return lambda *given: self.settings.setdefault(name, given)


def quantize(rows, kind):
    return np.zeros((len(rows), 34), np.uint8)


@pytest.mark.parametrize(("kind", "each"), [("bf16", 2.0), ("q8_0", 34 / 32)])
def test_a_file_has_every_tensor_of_the_shape(kind, each, monkeypatch, tmp_path):
    types = SimpleNamespace(BF16="bf16", Q8_0="q8_0")
    gguf = SimpleNamespace(GGUFWriter=Writer, GGMLQuantizationType=types, quants=SimpleNamespace(quantize=quantize))
    monkeypatch.setattr(llama_cpp, "import_module", lambda name: gguf)
    llama_cpp.write_gguf(tmp_path / "model.gguf", SHAPE, kind)
    writer = Writer.made[-1]
    assert len(writer.tensors) == 3 + 10 * SHAPE.layers
    gate, stored = writer.tensors["blk.1.ffn_gate_exps.weight"]
    assert stored == kind
    assert gate.nbytes == 4 * 64 * 32 * each
    assert writer.tensors["output_norm.weight"][0].tolist() == [1.0] * 32
    assert writer.tensors["blk.0.ffn_gate_inp.weight"][0].shape == (4, 32)
    assert writer.settings["add_expert_used_count"] == (2,)
    assert sum(array.nbytes for array, _ in writer.tensors.values()) == llama_cpp.file_bytes(SHAPE, kind)


def library(opens=True, refuses=False):
    """llama_cpp's functions, as far as they are called."""
    asked = []

    class Tokens:
        def __mul__(self, count):
            return lambda *given: given

    return asked, SimpleNamespace(
        llama_log_callback=lambda function: function,
        llama_log_set=lambda *given: given[0](0, b"", None),
        llama_backend_init=lambda: None,
        llama_model_default_params=lambda: None,
        llama_model_load_from_file=lambda path, settings: "model" if opens else None,
        llama_context_default_params=SimpleNamespace,
        llama_init_from_model=lambda model, options: options,
        llama_model_get_vocab=lambda model: None,
        llama_vocab_n_tokens=lambda vocabulary: 96,
        llama_token=Tokens(),
        llama_decode=lambda context, batch: asked.append(batch) or int(refuses),
        llama_batch_get_one=lambda tokens, count: tokens[:count],
        llama_get_logits_ith=lambda context, place: [0.0],
        llama_get_memory=lambda context: None,
        llama_memory_clear=lambda memory, data: None,
    )


def test_a_prompt_goes_through_three_times_and_tokens_one_by_one(monkeypatch):
    asked, cpp = library()
    monkeypatch.setattr(llama_cpp, "import_module", lambda name: cpp)
    monkeypatch.setattr(decoding, "PROBE_BYTES", 1 << 20)
    rates = llama_cpp._measure("model.gguf", 2, 8)
    assert [len(batch) for batch in asked] == [8] * 3 + [1] * decoding.DECODED
    assert rates.prefill > 0
    assert rates.decode > 0
    assert rates.read > 0


@pytest.mark.parametrize(("broken", "words"), [({"opens": False}, "refuses"), ({"refuses": True}, "refusing them")])
def test_what_llama_cpp_refuses_is_said(broken, words, monkeypatch):
    _, cpp = library(**broken)
    monkeypatch.setattr(llama_cpp, "import_module", lambda name: cpp)
    with pytest.raises(RuntimeError, match=words):
        llama_cpp._measure("model.gguf", 1, 8)


def test_rates_come_from_a_process_of_their_own(monkeypatch):
    answer = SimpleNamespace(stdout='noise\n{"prefill": 5.0, "decode": 2.0, "read": 3e10}\n')
    monkeypatch.setattr(llama_cpp.subprocess, "run", lambda *given, **options: answer)
    assert llama_cpp.rates("model.gguf", 1, 8) == llama_cpp.Rates(5.0, 2.0, 3e10)
