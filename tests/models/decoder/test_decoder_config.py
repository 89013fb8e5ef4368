"""Configurations of decoders: what follows, what is refused, and how far each pair of a head turns."""

import math

import numpy as np
import pytest

import odyssey as od
from odyssey.models import Decoder, DecoderConfig, MoEConfig, MoETransformer, RopeScaling
from odyssey.models.decoder.rotary import frequencies

SIZES = {"vocab_size": 10, "hidden_size": 8, "layers": 3, "heads": 4}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vocab_size": 0}, "vocab_size=0: expected a whole number of at least 1"),
        ({"layers": True}, "layers=True"),
        ({"layers": 2.0, "context": -1}, r"layers=2.0.*\n.*context=-1"),
        ({"kv_heads": 3}, "heads=4, kv_heads=3: expected heads to be a multiple"),
        ({"head_size": 3}, "head_size=3: expected an even number"),
        ({"norm_eps": -1e-6}, "norm_eps"),
        ({"rope_base": math.inf}, "rope_base=inf"),
        ({"attention_bias": True}, "attention_bias=True: expected 'none', 'qkv' or 'all'"),
        ({"qk_norm": "each"}, "qk_norm='each'"),
        ({"clip_qkv": 0}, "clip_qkv=0"),
        ({"sliding_window": 0}, "sliding_window=0"),
        ({"full_attention_layers": (3,)}, r"full_attention_layers=\(3,\), layers=3: expected layers' numbers"),
        ({"dense_layers": (-1,)}, "dense_layers"),
        ({"rope_scaling": {"kind": "linear"}, "tied": 1}, r"tied=1: expected True or False\n.*None or a RopeScaling"),
        ({"residual": "none"}, "residual='none': expected 'add' or 'mhc'"),
        ({"streams": 9}, "streams=9: expected 1 to 8"),
        ({"experts": -1}, "experts=-1"),
        ({"experts": 4}, "top_k=0, experts=4: expected 1 <= top_k <= experts"),
        ({"experts": 4, "top_k": 5}, "top_k=5"),
        ({"experts": 4, "top_k": 1, "expert_size": -2, "sparse_step": 0}, r"sparse_step=0.*\n.*expert_size=-2"),
        ({"stop_tokens": (10,)}, "stop_tokens"),
        ({"init_std": math.nan, "balance_weight": -1}, r"balance_weight=-1.*\n.*init_std=nan"),
    ],
)
def test_what_makes_no_model_is_named(changes, says):
    with pytest.raises(ValueError, match=says):
        DecoderConfig(**{**SIZES, **changes})


def test_what_is_left_out_follows_from_the_rest():
    config = DecoderConfig(**SIZES, experts=2, top_k=1)
    assert (config.kv_heads, config.head_size, config.mlp_size, config.expert_size) == (4, 2, 32, 32)
    mixed = config.with_(sparse_step=2, dense_layers=(1,), layers=4, sliding_window=3, full_attention_layers=(0, 2))
    assert [mixed.is_sparse(i) for i in range(4)] == [False, False, False, True]
    assert [mixed.window(i) for i in range(4)] == [None, 3, None, 3]
    assert [config.is_sparse(i) for i in range(3)] == [True] * 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dynamic", 2.0), "'linear', 'ntk', 'llama3', 'yarn', found 'dynamic'"),
        (("linear", 0.5), "factor of at least 1, found 0.5"),
        (("yarn", 2.0), "yarn needs original_context"),
        (("llama3", 2.0, 16, 4.0, 1.0), "low_turns < high_turns, found 4.0 and 1.0"),
    ],
)
def test_a_scaling_that_is_none_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        RopeScaling(*arguments)


def test_frequencies_are_the_formulas():
    size, base = 16, 10000.0
    plain = base ** (-np.arange(0, size, 2) / size)
    np.testing.assert_allclose(frequencies(size, base), plain, rtol=1e-14)
    np.testing.assert_allclose(frequencies(size, base, RopeScaling("linear", 4.0)), plain / 4, rtol=1e-14)
    stretched = (base * 8 ** (size / (size - 2))) ** (-np.arange(0, size, 2) / size)
    np.testing.assert_allclose(frequencies(size, base, RopeScaling("ntk", 8.0)), stretched, rtol=1e-14)
    assert frequencies(2, base, RopeScaling("ntk", 8.0)).tolist() == [1.0]  # one pair turns by 1 whatever the base
    blended = frequencies(size, base, RopeScaling("llama3", 8.0, 64))
    turns = plain * 64 / (2 * np.pi)
    assert np.array_equal(blended[turns > 4], frequencies(size, base)[turns > 4])
    np.testing.assert_allclose(blended[turns < 1], plain[turns < 1] / 8, rtol=1e-14)
    assert RopeScaling("yarn", math.e, 64).magnitude() == pytest.approx(1.1, rel=1e-14)
    assert RopeScaling("yarn", 2.0, 64, attention_factor=0.5).magnitude() == 0.5


def test_the_large_model_has_the_parameters_it_is_named_for():
    config = MoEConfig.moe_6_9b()
    model = MoETransformer.without_weights(config)
    sizes = {name: p.size for name, p in model.named_parameters()}
    assert all(not any(p.data.strides) for p in model.parameters() if p.ndim > 1)  # nothing was allocated
    routers = sum(size for name, size in sizes.items() if name.endswith(".router"))
    assert routers == 30 * 16 * 768
    assert sum(sizes.values()) == 6_882_677_760 + sizes["norm.weight"]  # the routers among them, the last norm beside
    seen = sum(
        size * 4 // 16 if name.rpartition(".")[2] in ("gate", "up", "down") else size for name, size in sizes.items()
    )
    assert round(seen / 1e9, 2) == 1.79
    assert (config.context, config.rope_scaling) == (32_768, RopeScaling("ntk", 8.0))


def test_presets_take_changes():
    assert MoETransformer.tiny(residual="mhc").config == MoEConfig.tiny(residual="mhc")
    assert MoETransformer.small(layers=1, vocab_size=64).config == MoEConfig.small(layers=1, vocab_size=64)
    tiny = MoEConfig.tiny()
    assert (tiny.hidden_size, tiny.layers, tiny.heads, tiny.kv_heads, tiny.head_size) == (64, 2, 4, 1, 16)
    assert (tiny.experts, tiny.top_k, tiny.expert_size, tiny.vocab_size) == (4, 2, 256, 1000)
    one = MoETransformer.moe_6_9b(layers=1, experts=1, top_k=1, expert_size=2, vocab_size=3, hidden_size=4)
    assert one.config.heads == 12


def test_one_generator_makes_one_model():
    first, second = (MoETransformer.tiny(generator=np.random.default_rng(2), tied=True) for _ in range(2))
    for (name, one), (_, other) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        assert np.array_equal(one.data, other.data), name
        assert one.ndim == 1 or 0.005 < one.data.std() < 0.04, name
    assert first.head.weight is first.embedding.weight
    assert MoETransformer.tiny(dtype=np.float64)(np.array([[1]])).dtype == np.float64


def test_forward_ids_takes_tokens_in_a_row():
    model, ids = MoETransformer.tiny(), np.arange(6, dtype=np.int32)
    assert np.array_equal(model.forward_ids(ids, 2, 3).data, model(ids.reshape(2, 3)).data)
    for batch, length in ((2, 2), (0, 6)):
        with pytest.raises(od.errors.ShapeError, match=r"expected batch \* seq_len"):
            model.forward_ids(ids, batch, length)


def test_a_dense_model_has_no_balancing_loss():
    model = Decoder(DecoderConfig(**SIZES))
    model(np.array([[1]]))
    assert model.load_balancing_loss().item() == 0.0
    assert list(model.sparse_layers()) == []


IDS = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda m: m(IDS[0]), od.errors.ShapeError, r"found \(3,\); ids\[np.newaxis\]"),
        (lambda m: m(IDS[:, :0]), od.errors.ShapeError, "at least one token"),
        (lambda m: m(IDS.astype(float)), od.errors.DTypeError, "ids of integers, found float64"),
        (lambda m: m(IDS + 5), IndexError, "10"),
        (lambda m: m(IDS, logits="first"), ValueError, "'all' or 'last', found 'first'"),
        (lambda m: m(IDS, IDS[:, :2]), od.errors.ShapeError, r"attention_mask \(2, 3\) as the ids, found \(2, 2\)"),
        (lambda m: m(IDS, IDS), od.errors.DTypeError, "of bool, or of 0 and 1"),
        (lambda m: m(IDS, IDS > 0, counts=np.array([1, 2])), ValueError, "found both"),
        (lambda m: m(IDS, counts=np.array([1])), od.errors.ShapeError, r"counts \(2,\) of integers"),
        (lambda m: m(IDS, counts=np.array([1, 4])), ValueError, r"counts in \[0, 3\]"),
        (lambda m: m(IDS, position_ids=np.arange(2)), od.errors.ShapeError, r"position_ids \(2, 3\) or \(3,\)"),
        (lambda m: m(IDS, position_ids=np.arange(3) - 1), ValueError, r"positions in \[0, 6\), found -1"),
        (lambda m: m(IDS, position_ids=IDS), ValueError, "context overflows.*found 6"),
        (lambda m: m(np.ones((1, 7), int)), ValueError, r"context overflows.*found 6\n  remedy"),
        (lambda m: m(IDS, cache=m.new_cache(1, 3)), od.errors.ShapeError, "a cache of 2 sequences"),
        (lambda m: m(IDS, cache=Decoder(m.config.with_(layers=1)).new_cache(2, 3)), od.errors.ShapeError, "new_cache"),
        (
            lambda m: m(IDS, cache=m.new_cache(2, 2)),
            ValueError,
            "the cache is full: expected at most 2 tokens.*found 3",
        ),
        (lambda m: m.new_cache(2, 7), ValueError, "within the context of 6, found 7"),
        (lambda m: m.new_cache(0), od.errors.ShapeError, "a batch and a capacity of at least 1"),
        (lambda m: m(IDS, np.array([[1, 0, 1], [1, 1, 1]])), ValueError, "a gap in row 0 of the attention_mask"),
    ],
)
def test_bad_input_is_told(call, kind, says):
    model = Decoder(DecoderConfig(**SIZES, context=6, sliding_window=2))
    with pytest.raises(kind, match=says):
        call(model)


def test_a_refused_call_leaves_the_cache_as_it_was():
    model = Decoder(DecoderConfig(**SIZES))
    cache = model.new_cache(2, 4)
    model(IDS, cache=cache)
    for ids in (IDS, IDS + 5):
        with pytest.raises((ValueError, IndexError)):
            model(ids, cache=cache)
    assert cache.lengths.tolist() == [3, 3]
    assert cache.nbytes == 2 * 3 * 2 * 4 * 4 * 2 * 4
    assert repr(cache) == "Cache(lengths=[3, 3], capacity=4, layers=3)"


def test_nothing_real_is_nothing_computed():
    model = Decoder(DecoderConfig(**SIZES))
    cache = model.new_cache(2, 4)
    assert not model(IDS, np.zeros((2, 3), bool), cache=cache).data.any()
    assert cache.lengths.tolist() == [0, 0]


@pytest.mark.parametrize(
    "name", ["moe", "decoder.decoder", "decoder.config", "decoder.cache", "decoder.rotary", "decoder.block"]
)
def test_the_examples_of_decoders_run(name):
    import doctest
    import importlib

    result = doctest.testmod(importlib.import_module(f"odyssey.models.{name}"))
    assert result.attempted
    assert not result.failed
