"""A token's logits have the same bits in the full pass, over a cache in any pieces, alone, padded and in any batch."""

import ml_dtypes
import numpy as np
import pytest

import odyssey as od
from odyssey.models import Decoder, DecoderConfig, MoETransformer

KINDS = {
    "dense": {"experts": 0},
    "experts": {},
    "hyper-connections": {"residual": "mhc", "streams": 2},
    "window": {"sliding_window": 5},
    "window beyond a block of keys": {"sliding_window": 140, "full_attention_layers": (0,)},
    "norms of heads": {"qk_norm": "head", "tied": True},
    "norms of all heads": {"qk_norm": "full", "clip_qkv": 0.5, "attention_bias": "all"},
    "rows of bfloat16": {"experts": 3},
    "rows of int8": {"sparse_step": 2},
}
WIDTH = 300  # three blocks of keys


def made(kind):
    model = MoETransformer.tiny(
        vocab_size=50,
        hidden_size=32,
        head_size=8,
        mlp_size=48,
        expert_size=24,
        init_std=0.3,
        generator=np.random.default_rng(5),
        **KINDS[kind],
    )
    if kind.startswith("rows of"):
        narrow(model, kind.removeprefix("rows of "))
    return model.eval()


def narrow(model, dtype):
    for module in list(model.modules()):
        for name, value in list(vars(module).items()):
            if isinstance(value, od.nn.Parameter) and value.ndim > 1:
                matrices = value.data if value.ndim == 3 else [value.data]
                held = [
                    one.astype(ml_dtypes.bfloat16) if dtype == "bfloat16" else od.pack(one, dtype) for one in matrices
                ]
                setattr(module, name, od.nn.StoredWeight(held if value.ndim == 3 else held[0]))


def ids(batch=3, width=WIDTH):
    return np.random.default_rng(7).integers(0, 50, (batch, width))


def full(model, tokens, **options):
    with od.no_grad():
        return model(tokens, **options).data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_a_cache_in_random_pieces_gives_the_full_pass(kind, seed):
    model, tokens = made(kind), ids()
    expected = full(model, tokens)
    rng = np.random.default_rng(seed)
    cuts = np.unique(rng.integers(1, WIDTH, 6))
    pieces = (
        np.split(tokens, [*cuts, *(WIDTH - np.arange(4, 0, -1))], axis=1)
        if cuts[-1] < WIDTH - 4
        else np.split(tokens, cuts, 1)
    )
    cache = model.new_cache(3, WIDTH)
    found = np.concatenate([model(piece, cache=cache).data for piece in pieces], 1)
    assert np.array_equal(found, expected)
    assert cache.lengths.tolist() == [WIDTH] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_of_unequal_lengths_share_a_cache(kind):
    model, tokens = made(kind), ids()
    expected = full(model, tokens)
    rng = np.random.default_rng(3)
    cache = model.new_cache(3, WIDTH)
    while cache.lengths.min() < WIDTH:
        before, width = cache.lengths, int(rng.choice([1, 7, 64]))
        counts = np.minimum(rng.integers(0, width + 1, 3), WIDTH - before)
        if width == 1 and before.max() < WIDTH:
            counts[:] = 1
        piece = rng.integers(0, 50, (3, width))  # what is padding holds any token
        for row, (start, count) in enumerate(zip(before, counts, strict=True)):
            piece[row, :count] = tokens[row, start : start + count]
        last = rng.integers(2) == 1
        found = model(piece, cache=cache, counts=counts, logits="last" if last else "all").data
        for row, (start, count) in enumerate(zip(before, counts, strict=True)):
            if last:
                assert np.array_equal(found[row, 0], expected[row, start + count - 1] if count else np.zeros(50))
            else:
                assert np.array_equal(found[row, :count], expected[row, start : start + count])
                assert not found[row, count:].any()
        assert np.array_equal(cache.lengths, before + counts)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_changes_no_bit(kind):
    model, tokens = made(kind), ids(4, 20)
    mask = np.ones((4, 20), np.int64)
    mask[0, :9] = mask[1, 13:] = mask[2, :3] = mask[2, 15:] = mask[3] = 0
    found = full(model, tokens, attention_mask=mask)
    assert not found[mask == 0].any()  # a row without tokens is 0 too, and not NaN
    for row, real in enumerate(mask == 1):
        if real.any():
            assert np.array_equal(found[row, real], full(model, tokens[row : row + 1, real])[0])
    last = full(model, tokens, attention_mask=mask, logits="last")
    assert np.array_equal(last[:, 0], [found[0, 19], found[1, 12], found[2, 14], np.zeros(50)])
    cache = model.new_cache(4, 20)
    assert np.array_equal(model(tokens, mask, cache=cache).data, found)
    assert cache.lengths.tolist() == [11, 13, 12, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_instruction_sets_change_no_bit(kind):
    tokens, results = ids(2, 40), set()
    for isa in od.isa.available():
        for threads in (1, 2, 3):
            with od.isa.use(isa), od.threads.limit(threads):
                model = made(kind)
                cache = model.new_cache(2, 40)
                found = [model(tokens[:, :30], cache=cache).data, model(tokens[:, 30:31], cache=cache).data]
                results.add((full(model, tokens).tobytes(), *(one.tobytes() for one in found)))
    assert len(results) == 1


def test_only_the_last_token_meets_the_head():
    model, tokens = made("experts"), ids(3, 11)
    rows = []
    handle = model.head.register_forward_hook(lambda module, args, output: rows.append(output.shape[0]))
    expected = full(model, tokens)
    assert np.array_equal(full(model, tokens, logits="last"), expected[:, -1:])
    handle.remove()
    assert rows == [33, 3]


def test_gaps_in_a_mask_leave_tokens_where_they_stand():
    model, tokens = made("dense"), ids(1, 6)
    mask = np.array([[0, 1, 0, 1, 1, 0]], bool)
    positions = np.array([[0, 2, 3]])  # counted from the first token
    found = full(model, tokens, attention_mask=mask)
    assert np.array_equal(found[mask], full(model, tokens[mask][None], position_ids=positions)[0])


def test_positions_are_those_given():
    model, tokens = made("dense"), ids(2, 6)
    counted = full(model, tokens)
    assert np.array_equal(full(model, tokens, position_ids=np.arange(6)), counted)
    assert np.array_equal(full(model, tokens, position_ids=np.tile(np.arange(6), (2, 1))), counted)
    shifted = full(model, tokens, position_ids=np.arange(6) + 3)  # only distances count
    np.testing.assert_allclose(shifted, counted, rtol=2e-4, atol=2e-4)
    assert not np.allclose(full(model, tokens, position_ids=2 * np.arange(6)), counted, atol=1e-3)


def test_a_cache_goes_on_with_the_sequences_that_are_kept():
    model, tokens = made("experts"), ids(3, 12)
    expected = full(model, tokens)
    cache = model.new_cache(3, 12)
    model(tokens[:, :8], cache=cache, counts=np.array([8, 6, 8]))
    cache.keep([2, 0, 2])
    assert cache.batch == 3
    found = model(tokens[[2, 0, 2], 8:10], cache=cache).data
    assert np.array_equal(found, expected[[2, 0, 2], 8:10])
    cache.lengths = cache.lengths - 1  # a token taken back
    assert np.array_equal(model(tokens[[2, 0, 2], 9:10], cache=cache).data, found[:, 1:])


def test_a_cached_call_leaves_no_tape():
    model = Decoder(DecoderConfig(vocab_size=9, hidden_size=8, layers=1, heads=2), generator=np.random.default_rng(0))
    assert not model(np.array([[1]]), cache=model.new_cache(1, 4)).requires_grad
    assert model(np.array([[1]])).requires_grad
