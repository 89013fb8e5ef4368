"""Generation over real decoders: with the cache the tokens of the full pass, alone and in any batch."""

from pathlib import Path

import numpy as np
import pytest

import odyssey as od
from odyssey.tensor import no_grad


def decoder(residual: str = "add", window: int | None = None) -> od.models.MoETransformer:
    options = {"layers": 2, "vocab_size": 97, "context": 64, "residual": residual, "sliding_window": window}
    return od.models.MoETransformer.tiny(**options, generator=np.random.default_rng(3)).eval()


def by_the_full_pass(model: od.models.Decoder, prompt: list[int], count: int) -> tuple[list[int], list[bytes]]:
    """The likeliest tokens, each from all before it at once, and the bits of the logits they were taken from."""
    ids, bits = list(prompt), []
    for _ in range(count):
        with no_grad():
            logits = model(np.array([ids])).data[0, -1]
        bits.append(logits.tobytes())
        ids.append(int(np.argmax(logits)))
    return ids[len(prompt) :], bits


@pytest.mark.parametrize(("residual", "window"), [("add", None), ("mhc", None), ("add", 5)])
def test_tokens_with_the_cache_are_those_of_the_full_pass(residual: str, window: int | None, isa: str) -> None:
    model = decoder(residual, window)
    expected, bits = by_the_full_pass(model, [5, 9, 3, 44, 2, 6, 1], 6)
    assert list(model.generate([5, 9, 3, 44, 2, 6, 1], 6)) == expected
    cache = model.new_cache(1, 20)
    found = [model(np.array([[5, 9, 3, 44, 2, 6, 1]]), cache=cache, logits="last").data[0, -1].tobytes()]
    found += [model(np.array([[one]]), cache=cache, logits="last").data[0, -1].tobytes() for one in expected[:-1]]
    assert found == bits


def test_unequal_prompts_in_a_batch_draw_the_tokens_that_each_draws_alone() -> None:
    model = decoder()
    prompts = [[1], list(range(2, 20)), [90, 91, 92]]
    steps = list(model.generate(prompts, 9, temperature=1.3, top_k=40, top_p=0.95, seed=[1, 2, 3]))
    for place, prompt in enumerate(prompts):
        alone = list(model.generate(prompt, 9, temperature=1.3, top_k=40, top_p=0.95, seed=place + 1))
        assert [int(step[place]) for step in steps] == alone


def test_a_sequence_that_has_ended_leaves_the_others_as_they_are() -> None:
    model = decoder()
    alone = list(model.generate([7, 8], 8))
    first = list(model.generate([1], 2))
    assert first[1] not in alone
    steps = list(model.generate([[1], [7, 8]], 8, stop=first[1]))
    assert [int(step[0]) for step in steps] == [first[0]] + [-1] * 7
    assert [int(step[1]) for step in steps] == alone


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_narrow_weights_generate_the_same_alone_and_in_a_batch(dtype: str, tmp_path: Path) -> None:
    od.models.save_pretrained(decoder(), tmp_path / "model")
    model = od.models.from_pretrained(tmp_path / "model", dtype=dtype)
    steps = list(model.generate([[4, 5, 6], [9]], 5))
    for place, prompt in enumerate(([4, 5, 6], [9])):
        assert [int(step[place]) for step in steps] == list(model.generate(prompt, 5))


def test_a_token_outside_of_the_vocabulary_and_a_context_that_overflows_are_refused() -> None:
    model = decoder()
    with pytest.raises(ValueError, match="from 0 to 96, found 97"):
        model.generate([97])
    with pytest.raises(ValueError, match="context of 64 tokens, found 65"):
        model.generate([1] * 65)
    with pytest.raises(ValueError, match="ask for at most 1 new"):
        model.generate([1] * 64, 2)
    assert len(list(model.generate([1] * 64))) == 1
