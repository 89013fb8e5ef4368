"""Generation over a model that counts: what is asked of a model, in which order, and what comes of it."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError
from odyssey.models.generation import Sampling, generate, generate_text
from odyssey.models.generation.text import generate_texts
from odyssey.models.generation.tokens import CHUNK, DEFAULT_COUNT

VOCABULARY = 17


@dataclass
class Summing:
    """Its next token is the sum of a sequence's tokens, modulo the vocabulary; each row has its own sum."""

    stop_tokens: tuple[int, ...] = ()
    context: int = 4096
    seen: list[tuple[int, ...]] = field(default_factory=list)
    flat: bool = False

    def __post_init__(self) -> None:
        self.config = SimpleNamespace(vocab_size=VOCABULARY, context=self.context, stop_tokens=self.stop_tokens)

    def new_cache(self, batch: int, capacity: int) -> Any:
        self.capacity = capacity
        return np.zeros(batch, np.int64)

    def __call__(self, ids: Any, *, cache: Any, counts: Any, logits: str) -> Any:
        assert logits == "last"
        assert not od.tensor.is_grad_enabled()
        self.seen.append(ids.shape)
        real = np.full(len(ids), ids.shape[1]) if counts is None else counts
        for row, count in enumerate(real):
            cache[row] += ids[row, :count].sum()
        out = np.zeros((len(ids), 1, VOCABULARY), np.float32)
        if not self.flat:
            out[np.arange(len(ids)), 0, cache % VOCABULARY] = 5
        return od.Tensor(out)


def following(prompt: list[int], count: int) -> list[int]:
    found = list(prompt)
    for _ in range(count):
        found.append(sum(found) % VOCABULARY)
    return found[len(prompt) :]


def test_one_prompt_gives_the_likeliest_tokens_as_numbers() -> None:
    tokens = list(generate(Summing(), [1, 2], 5))
    assert tokens == following([1, 2], 5)
    assert all(type(token) is int for token in tokens)
    assert list(generate(Summing(), np.array([1, 2]), 5)) == tokens


def test_prompts_of_unequal_length_side_by_side_give_what_each_gives_alone() -> None:
    prompts = [[1], [2, 3, 4], [5, 6]]
    steps = list(generate(Summing(), prompts, 6))
    assert [step.dtype for step in steps] == [np.int64] * 6
    for place, prompt in enumerate(prompts):
        assert [int(step[place]) for step in steps] == following(prompt, 6)


def test_a_list_of_one_prompt_is_a_batch_and_rows_of_an_array_are_prompts() -> None:
    assert [step.tolist() for step in generate(Summing(), [[3]], 2)] == [[3], [6]]
    assert [step.tolist() for step in generate(Summing(), np.array([[3], [4]]), 1)] == [[3, 4]]


def test_a_stop_token_ends_its_sequence_alone_and_is_not_given_out() -> None:
    assert following([1, 2], 3) == [3, 6, 12]
    assert list(generate(Summing(stop_tokens=(12,)), [1, 2], 9)) == [3, 6]
    assert list(generate(Summing(), [1, 2], 9, stop=12)) == [3, 6]
    both = [step.tolist() for step in generate(Summing(), [[1, 2], [1, 1]], 4, stop=[12])]
    assert both == [[3, 2], [6, 4], [-1, 8], [-1, 16]]


def test_generation_ends_as_soon_as_every_sequence_has() -> None:
    model = Summing(stop_tokens=(3,))
    assert list(generate(model, [[1, 2], [3]], 9)) == []
    assert model.seen == [(2, 2)]


def test_a_long_prompt_goes_through_the_model_in_pieces_and_a_short_one_beside_it_is_not_disturbed() -> None:
    model, long = Summing(), [1] * (2 * CHUNK + 3)
    steps = list(generate(model, [long, [2]], 2))
    assert model.seen == [(2, CHUNK), (2, CHUNK), (2, 3), (2, 1)]
    assert [int(step[0]) for step in steps] == following(long, 2)
    assert [int(step[1]) for step in steps] == following([2], 2)


def test_the_last_token_is_not_put_into_the_cache() -> None:
    model = Summing(context=8)
    assert len(list(generate(model, [1, 2, 3], 6))) == 6
    assert model.capacity == 8
    assert len(model.seen) == 6


def test_without_a_number_it_goes_on_for_a_while_or_to_the_end_of_the_context() -> None:
    assert len(list(generate(Summing(), [1]))) == DEFAULT_COUNT
    assert len(list(generate(Summing(context=10), [1, 2]))) == 9


def test_the_same_seed_draws_the_same_tokens_and_another_others() -> None:
    def drawn(seed: Any) -> list[int]:
        return list(generate(Summing(flat=True), [1], 30, temperature=1.0, seed=seed))

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)
    assert drawn(None) != drawn(None)


def test_a_sequence_with_its_own_seed_draws_in_a_batch_what_it_draws_alone() -> None:
    steps = list(generate(Summing(flat=True), [[1], [2, 2], [3]], 12, top_p=0.9, seed=[4, 5, 4]))
    for place, (prompt, seed) in enumerate(([[1], 4], [[2, 2], 5], [[3], 4])):
        alone = list(generate(Summing(flat=True), prompt, 12, top_p=0.9, seed=seed))
        assert [int(step[place]) for step in steps] == alone


@pytest.mark.parametrize(
    ("prompts", "options", "error", "words"),
    [
        ([], {}, ValueError, "at least one prompt"),
        ([[1], []], {}, ValueError, "empty one .number 1."),
        (np.zeros(0, np.int64), {}, ValueError, "empty one"),
        ([1, VOCABULARY], {}, ValueError, f"from 0 to {VOCABULARY - 1}, found {VOCABULARY}"),
        ([[1], [-2]], {}, ValueError, "found -2"),
        ([1.5], {}, DTypeError, "integers"),
        ("text", {}, DTypeError, "found text"),
        (["text"], {}, DTypeError, "found text"),
        (np.zeros((1, 1, 1), np.int64), {}, ShapeError, "3 axes"),
        ([[[1]]], {}, ShapeError, "2 axes"),
        ([1] * 9, {}, ValueError, "context of 8 tokens, found 9; cut"),
        ([1] * 6, {"max_new_tokens": 4}, ValueError, "ask for at most 3"),
        ([1], {"max_new_tokens": 0}, ValueError, "1 or more, found 0"),
        ([1], {"temperature": 0.0}, ValueError, "temperature above 0"),
        ([1], {"temperature": -1.0}, ValueError, "temperature above 0"),
        ([1], {"temperature": float("nan")}, ValueError, "temperature above 0"),
        ([1], {"top_p": 0.0}, ValueError, "top_p above 0"),
        ([1], {"top_p": 1.5}, ValueError, "at most 1"),
        ([1], {"top_k": 0}, ValueError, "top_k of 1 or more"),
        ([1], {"stop": [VOCABULARY]}, ValueError, "stop: expected"),
        ([[1], [2]], {"seed": [1]}, ShapeError, "each of 2 prompts, found 1"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_computed(prompts: Any, options: Any, error: Any, words: str) -> None:
    model = Summing(context=8)
    with pytest.raises(error, match=words):
        generate(model, prompts, **options)
    assert model.seen == []


def test_top_k_and_top_p_together_cut_the_nucleus_out_of_the_k_largest() -> None:
    logits = np.log(np.float32([[0.4, 0.3, 0.2, 0.1]]))
    # Of the two largest, 0.57 and 0.43, the first alone has probability 0.5; of all four it would take both.
    drawn = {int(Sampling(top_k=2, top_p=0.5).draw(logits, Sampling.streams(1, seed))[0]) for seed in range(40)}
    assert drawn == {0}
    drawn = {int(Sampling(top_p=0.5).draw(logits, Sampling.streams(1, seed))[0]) for seed in range(40)}
    assert drawn == {0, 1}
    equal = np.zeros((1, 5), np.float32)
    drawn = {int(Sampling(top_k=2, top_p=1.0).draw(equal, Sampling.streams(1, seed))[0]) for seed in range(40)}
    assert drawn == {0, 1}
    assert Sampling(top_k=9, top_p=1.0).draw(equal, Sampling.streams(1, 3)).shape == (1,)


def test_top_k_of_one_and_a_small_temperature_take_the_likeliest() -> None:
    logits = np.float32([[0, 3, 1], [2, 0, 1]])
    for sampling in (Sampling(), Sampling(top_k=1), Sampling(temperature=1e-30)):
        assert sampling.draw(logits, Sampling.streams(2, 0)).tolist() == [1, 0]


def bytes_tokenizer() -> Any:
    """A token for each byte: letters of several bytes are several tokens."""
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import decoders, models, pre_tokenizers

    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(models.BPE({name: place for place, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


class Reciting(Summing):
    """Says the same tokens whatever it is asked."""

    def __init__(self, tokens: list[int]) -> None:
        super().__init__()
        self.config.vocab_size = 256
        self.tokens = tokens

    def __call__(self, ids: Any, *, cache: Any, counts: Any, logits: str) -> Any:
        out = np.zeros((len(ids), 1, 256), np.float32)
        out[:, 0, self.tokens[len(self.seen)]] = 1
        self.seen.append(ids.shape)
        return od.Tensor(out)


def test_pieces_of_text_are_whole_characters() -> None:
    tokenizer = bytes_tokenizer()
    said = tokenizer.encode("né €5").ids
    pieces = list(generate_text(Reciting(said), tokenizer, "x", len(said)))
    assert pieces == ["n", "é", " ", "€", "5"]


def test_texts_side_by_side_come_whole_and_without_their_prompts() -> None:
    tokenizer = bytes_tokenizer()
    said = tokenizer.encode("né").ids
    assert generate_texts(Reciting(said), tokenizer, ["x", "yy"], len(said)) == ["né", "né"]


def test_a_text_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        generate_text(Summing(), bytes_tokenizer(), "", 3)
