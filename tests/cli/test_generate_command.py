"""`odyssey generate`, from the folder to the text, and what it says of what it is given."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import odyssey as od
from odyssey.bench.large_moe import _tokenizer
from odyssey.cli.main import cli
from odyssey.models.generation import generate_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("generate") / "model"
    model = od.models.MoETransformer.tiny(vocab_size=300, context=64, generator=np.random.default_rng(5))
    od.models.save_pretrained(model, path, tokenizer=_tokenizer(300))
    return path


def run(*arguments: object, text: str | None = None):
    return CliRunner().invoke(cli, ["generate", *map(str, arguments)], input=text)


def expected(folder: Path, prompt: str, count: int, **options) -> str:
    from odyssey.data.text.tokenizer import load_tokenizer

    model = od.models.from_pretrained(folder)
    return "".join(generate_text(model, load_tokenizer(folder), prompt, count, **options))


def test_what_follows_is_written_whole_or_as_it_is_found_and_from_stdin(folder) -> None:
    text = expected(folder, "Hello", 12)
    for arguments, given in ((["Hello"], None), (["Hello", "--stream"], None), (["-"], "Hello")):
        result = run(folder, *arguments, "--max-new-tokens", 12, text=given)
        assert result.exit_code == 0, result.output
        assert result.stdout == text + "\n"


def test_a_seed_draws_the_same_text_with_one_thread_and_with_two(folder) -> None:
    options = ["--max-new-tokens", 10, "--temperature", 1.5, "--top-k", 50, "--top-p", 0.9, "--seed", 7]
    texts = {run(folder, "Hi", *options, "--threads", count).stdout for count in (1, 2)}
    assert texts == {expected(folder, "Hi", 10, temperature=1.5, top_k=50, top_p=0.9, seed=7) + "\n"}


def test_a_stop_token_ends_the_text_and_times_go_to_stderr(folder) -> None:
    from odyssey.data.text.tokenizer import load_tokenizer

    first = next(od.models.from_pretrained(folder).generate(load_tokenizer(folder).encode("Hello").ids))
    stop = load_tokenizer(folder).id_to_token(first)
    result = run(folder, "Hello", "--stop", stop, "--timings")
    assert result.exit_code == 0, result.output
    assert result.stdout == "\n"
    assert "first piece after" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x", "--temperature", "0"], "temperature above 0"),
        (["x", "--top-p", "1.5"], "at most 1"),
        (["x", "--top-k", "0"], "top_k of 1 or more"),
        (["x", "--max-new-tokens", "99"], "ask for at most 64"),
        (["x", "--max-new-tokens", "0"], "1 or more, found 0"),
        (["x" * 65], "context of 64 tokens, found 65"),
        ([""], "at least one token"),
        (["x", "--stop", "no such"], "a token of the tokenizer"),
        (["x", "--isa", "sse9"], "sse9"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(arguments, words, folder) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_that_is_not_there_or_is_no_decoder_is_said(folder, tmp_path) -> None:
    result = run(tmp_path / "nothing", "x")
    assert result.exit_code == 2
    assert "nothing" in result.stderr
    bert = od.models.Bert(od.models.BertConfig(vocabulary=300, features=8, layers=1, heads=2, hidden=16))
    od.models.save_pretrained(bert, tmp_path / "bert", tokenizer=_tokenizer(300))
    result = run(tmp_path / "bert", "x")
    assert result.exit_code == 2
    assert "odyssey embed" in result.stderr
