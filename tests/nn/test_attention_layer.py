"""MultiHeadAttention against PyTorch's, and its options against the formula."""

import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.errors import ShapeError
from odyssey.testing import gradcheck


def layer(features=8, heads=4, **options):
    return nn.MultiHeadAttention(features, heads, generator=np.random.default_rng(0), dtype=np.float64, **options)


def data(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def by_hand(attention, x, keys, allowed):
    """The formula, head by head; allowed is (queries, keys) of bool."""
    size, group = attention.head_features, attention.heads // attention.kv_heads
    project = {
        name: getattr(attention, name)(one).data for name, one in (("q_proj", x), ("k_proj", keys), ("v_proj", keys))
    }
    results = []
    for head in range(attention.heads):
        q = project["q_proj"][..., head * size : (head + 1) * size]
        k, v = (project[name][..., head // group * size : (head // group + 1) * size] for name in ("k_proj", "v_proj"))
        if attention.rotary is not None:
            q, k = (od.rotary_embedding(one, *od.rotary_tables(one.shape[1], size, attention.rotary, one.dtype)) for one in (q, k))
        scores = np.where(allowed, q @ k.swapaxes(1, 2) / np.sqrt(size), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        results.append(weights / weights.sum(-1, keepdims=True) @ v)
    return attention.out_proj(np.concatenate(results, -1)).data


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("rotary", [None, 100.0])
@pytest.mark.parametrize("is_causal", [False, True])
def test_it_is_the_formula(kv_heads, rotary, is_causal):
    attention = layer(16, kv_heads=kv_heads, rotary=rotary, is_causal=is_causal)
    x = data(2, 5, 16)
    allowed = np.tri(5, dtype=bool) if is_causal else np.ones((5, 5), bool)
    np.testing.assert_allclose(attention(x).data, by_hand(attention, x, x, allowed), rtol=1e-12, atol=1e-14)
    shorter = data(2, 3, 16)  # tables made for five places serve three
    np.testing.assert_allclose(
        attention(shorter).data, by_hand(attention, shorter, shorter, allowed[:3, :3]), rtol=1e-12, atol=1e-14
    )


def test_masks_of_keys_and_of_pairs_go_together():
    attention, x, keys = layer(), data(2, 3, 8), data(2, 4, 8, seed=2)
    pairs = np.array([[True, True, False, True], [True, False, True, True], [True, True, True, True]])
    seen = np.array([[True, True, True, False], [True, True, True, True]])
    both = pairs & seen[:, None, :]
    expected = by_hand(attention, x, keys, both)
    added = np.where(pairs, 0.0, -np.inf)
    for mask in (pairs, added):
        y = attention(x, keys, attn_mask=mask, key_mask=seen)
        np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        attention(x, keys, key_mask=seen).data,
        by_hand(attention, x, keys, np.broadcast_to(seen[:, None, :], (2, 3, 4))),
        rtol=1e-12,
        atol=1e-14,
    )
    with pytest.raises(ShapeError, match=r"expected key_mask \(2, 4\) of bool, found \(2, 3\)"):
        attention(x, keys, key_mask=seen[:, :3])
    with pytest.raises(ShapeError, match=r"of bool, found \(2, 4\) int64"):
        attention(x, keys, key_mask=seen.astype(np.int64))


@pytest.mark.parametrize("is_causal", [False, True])
def test_it_is_pytorchs(is_causal):
    torch = pytest.importorskip("torch")
    attention = layer(12, 3)
    peer = torch.nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    names = ("q_proj", "k_proj", "v_proj")
    with torch.no_grad():
        for target, part in ((peer.in_proj_weight, "weight"), (peer.in_proj_bias, "bias")):
            target.copy_(torch.tensor(np.concatenate([getattr(getattr(attention, name), part).data for name in names])))
        peer.out_proj.weight.copy_(torch.tensor(attention.out_proj.weight.data))
        peer.out_proj.bias.copy_(torch.tensor(attention.out_proj.bias.data))
    x, seen = data(2, 5, 12), np.array([[True] * 5, [True] * 4 + [False]])
    allowed = np.tri(5, dtype=bool) if is_causal else np.ones((5, 5), bool)
    ours = od.Tensor(x, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    y = attention(ours, attn_mask=allowed, key_mask=seen)
    expected, _ = peer(
        theirs, theirs, theirs, attn_mask=torch.tensor(~allowed), key_padding_mask=torch.tensor(~seen), need_weights=False
    )
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-11, atol=1e-13)
    cotangent = data(2, 5, 12, seed=3)
    y.backward(cotangent)
    expected.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        np.concatenate([getattr(attention, name).weight.grad for name in names]), peer.in_proj_weight.grad.numpy(),
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip


def test_gradients_are_the_differences():
    attention = layer(8, 2, kv_heads=1, is_causal=True, rotary=50.0)
    gradcheck(
        lambda x, w: attention(x) + 0.0 * w.sum(),
        [od.Tensor(data(1, 3, 8), requires_grad=True), attention.k_proj.weight],
        points=1,
        elements=20,
    )


def test_sizes_that_do_not_fit_are_refused():
    for features, heads, kv_heads in ((8, 3, None), (8, 4, 3), (8, 0, None), (8, 4, 0)):
        with pytest.raises(ShapeError, match="features divisible by heads, and heads by kv_heads"):
            nn.MultiHeadAttention(features, heads, kv_heads)
    with pytest.raises(ShapeError, match="even size for rotary, found 3"):
        nn.MultiHeadAttention(9, 3, rotary=1e4)
    with pytest.raises(ShapeError, match=r"expected key \(batch, length, features\), found \(5, 8\)"):
        layer()(data(1, 5, 8), data(5, 8))
    assert nn.MultiHeadAttention(8, 3, head_features=4, bias=False)(np.zeros((1, 2, 8), np.float32)).shape == (1, 2, 8)
