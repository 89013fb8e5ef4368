"""The table's large mixture of experts, tried on a small one; what it says of figures; and of machines too small for it."""

from dataclasses import replace
from pathlib import Path

import pytest

import odyssey as od
from odyssey.bench import decoding, large_moe, llama_cpp
from odyssey.bench.race import Rules
from odyssey.bench.tables import Request, sparse_large

SLOW = Request(rules=Rules(sample_seconds=0, min_rounds=2, max_rounds=2))
FIGURES = large_moe.Figures(
    prefill=100.0, decode=10.0, read=4e10, of_limit=[0.7, 0.9, 0.8], bytes_per_token=3.6e9, resident=1.01
)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "model"
    large_moe.write_checkpoint(path, od.models.MoEConfig.tiny())
    return path


@pytest.mark.parametrize(
    ("dtype", "size", "layout"), [("bfloat16", 2.0, "rows"), ("bfloat16", 2.0, "packed"), ("int8", 1.0, "packed")]
)
def test_figures_of_a_small_model(dtype, size, layout, small, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "PROBE_BYTES", 1 << 20)
    figures = large_moe._measure(str(small), 1, 8, dtype, "exact", layout)
    assert figures.prefill > 0
    assert figures.decode > 0
    assert len(figures.of_limit) == decoding.DECODED - decoding.WARM
    config = od.models.MoEConfig.tiny()
    seen = config.layers * (config.top_k * 3 * 64 * 256 + 64 * (64 + 16 + 16 + 64) + 64 * 4) + 64 * 1000
    assert figures.bytes_per_token == pytest.approx(size * seen, rel=0.15)
    assert figures.resident > 1  # of so little the interpreter alone is many times as much


def test_a_process_of_its_own_and_the_command_say_the_same_kind_of_thing(small) -> None:
    assert large_moe.first_token_seconds(small) > 0
    with pytest.raises(RuntimeError, match="exit code 2"):
        large_moe.first_token_seconds(small / "nothing")


@pytest.fixture
def enough(tmp_path, monkeypatch):
    """A machine that has it all, and on which everything takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sparse_large, "DISK", 0)
    monkeypatch.setattr(sparse_large, "MEMORY", 0)
    monkeypatch.setattr(sparse_large, "missing", lambda *names: None)
    monkeypatch.setattr(sparse_large.threads, "affinity", lambda: 2)
    written = []

    def write(path, *rest):
        written.append(path.name)
        if path.suffix:
            path.write_bytes(b"weights")
        else:
            path.mkdir()
            (path / "config.json").write_text("{}")

    monkeypatch.setattr(large_moe, "write_checkpoint", write)
    monkeypatch.setattr(llama_cpp, "write_gguf", write)
    monkeypatch.setattr(large_moe, "measure", lambda path, count, prompt, dtype, precision, packed: FIGURES)
    monkeypatch.setattr(large_moe, "first_token_seconds", lambda path: 2.0)
    monkeypatch.setattr(llama_cpp, "rates", lambda path, count, prompt: llama_cpp.Rates(50.0, 5.0, 3e10))
    return written


def test_every_goal_is_a_line_and_files_are_written_once(enough, tmp_path) -> None:
    (section,) = sparse_large.sections(SLOW)
    verdicts = {(line.what, line.setting.rpartition(", ")[2]): line.verdict for line in section.lines}
    assert verdicts["decoding, bfloat16 mapped, exact, of the bandwidth", "1 thread"] == "met"
    assert verdicts["prompt of 256 tokens, bfloat16 packed, native", "2 threads"] == "short"
    assert verdicts["decoding, int8 packed, native", "2 threads"] == "met"
    line = next(one for one in section.lines if one.what == "decoding, int8 packed, native")
    assert line.value.median == pytest.approx(10 / 40 * 30 / 5)
    assert line.note == "odyssey 10.00 tokens/s of 40.0 GB/s, llama.cpp 5.00 tokens/s of 30.0 GB/s"
    assert verdicts["command to first token", "all threads"] == "met"
    assert verdicts["resident memory, bfloat16 mapped", ""] == "met"
    assert len(verdicts) == len(section.lines) == 12 + 2 + 16
    assert sorted(enough) == ["moe_6_9b", "moe_6_9b_bf16.gguf", "moe_6_9b_q8_0.gguf"]
    list(sparse_large.sections(SLOW))
    assert len(enough) == 3


def test_without_llama_cpp_the_rest_is_measured(enough, monkeypatch) -> None:
    monkeypatch.setattr(sparse_large, "missing", lambda *names: "pip install gguf" if "gguf" in names else None)
    (section,) = sparse_large.sections(SLOW)
    assert section.lines[-1].note == "pip install gguf"
    assert len(section.lines) == 12 + 2 + 1


@pytest.mark.parametrize(("name", "value", "words"), [("DISK", 1e18, "GB at"), ("MEMORY", 1e18, "GB of memory, found")])
def test_a_machine_that_is_too_small_is_told_what_it_lacks(name, value, words, enough, monkeypatch) -> None:
    monkeypatch.setattr(sparse_large, name, value)
    (section,) = sparse_large.sections(SLOW)
    assert all(line.verdict == "not available" and words in line.note for line in section.lines)
    assert enough == []


def test_a_first_look_leaves_it_out(enough) -> None:
    (section,) = sparse_large.sections(replace(SLOW, quick=True))
    assert all(line.verdict == "not measured" for line in section.lines)


def test_the_size_of_llama_cpps_file_follows_from_the_shape() -> None:
    shape = sparse_large._shape(od.models.MoEConfig.moe_6_9b())
    assert llama_cpp.file_bytes(shape, "bf16") == pytest.approx(13_766_208_032, rel=1e-3)
    assert llama_cpp.file_bytes(shape, "q8_0") == pytest.approx(7_314_086_432, rel=1e-3)
