"""The mixture of experts against its formula token by token, and its gradients in float64 by every parameter."""

import pickle

import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.errors import ShapeError
from odyssey.testing import gradcheck


def layer(experts=4, top_k=2, features=6, hidden=5, **options):
    return nn.MixtureOfExperts(
        features, hidden, experts, top_k, generator=np.random.default_rng(0), dtype=np.float64, **options
    )


def tokens(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def by_hand(moe, x):
    """The formula, token by token and expert by expert."""
    made = np.zeros_like(x)
    for place in np.ndindex(x.shape[:-1]):
        token = x[place]
        scores = np.exp(moe.router.data @ token)
        scores /= scores.sum()
        chosen = np.argsort(-scores, kind="stable")[: moe.top_k]
        weights = scores[chosen] / (scores[chosen].sum() if moe.renormalize else 1)
        for expert, weight in zip(chosen, weights, strict=True):
            gate = moe.gate.data[expert] @ token
            inner = gate / (1 + np.exp(-gate)) * (moe.up.data[expert] @ token)
            made[place] += weight * (moe.down.data[expert] @ inner)
    return made


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_it_is_the_formula(top_k, renormalize):
    moe = layer(top_k=top_k, renormalize=renormalize)
    x = tokens(2, 7, 6)
    np.testing.assert_allclose(moe(x).data, by_hand(moe, x), rtol=1e-12, atol=1e-15)
    assert moe.counts.shape == (4,)
    assert moe.counts.sum() == 14 * top_k


def test_an_expert_without_tokens_and_ties_among_experts():
    moe = layer(experts=5)
    moe.router.data[3] = 0
    moe.router.data[3, 0] = -100  # never chosen, where a token's first element is positive
    moe.router.data[2] = moe.router.data[1]  # of equal ones the first comes first
    x = tokens(9, 6)
    x[:, 0] = np.abs(x[:, 0]) + 1
    np.testing.assert_allclose(moe(x).data, by_hand(moe, x), rtol=1e-12, atol=1e-15)
    assert moe.counts[3] == 0
    assert moe.counts[1] >= moe.counts[2]


def test_a_token_has_the_bits_alone_that_it_has_among_others():
    moe = nn.MixtureOfExperts(32, 48, 8, 2, generator=np.random.default_rng(0))
    x = tokens(40, 32).astype(np.float32)
    whole = moe(x).data
    for i in (0, 7, 39):
        np.testing.assert_array_equal(moe(x[i : i + 1]).data[0], whole[i])


def test_stored_weights_give_the_bits_of_the_wide_ones_and_a_gradient_by_the_tokens():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    wide = nn.MixtureOfExperts(32, 48, 4, 2, generator=np.random.default_rng(0))
    stored = nn.MixtureOfExperts(32, 48, 4, 2)
    for name in ("router", "gate", "up", "down"):
        narrow = getattr(wide, name).data.astype(ml_dtypes.bfloat16)
        getattr(wide, name).data[...] = narrow.astype(np.float32)
        value = narrow if name in ("router", "gate") else [np.array(one) for one in narrow]
        setattr(stored, name, nn.StoredWeight(value))
    assert not list(stored.parameters())
    data = tokens(3, 5, 32).astype(np.float32)
    grad = tokens(3, 5, 32, seed=2).astype(np.float32)
    found = []
    for moe in (wide, stored):
        x = od.Tensor(data, requires_grad=True)
        y = moe(x)
        y.backward(grad)
        found.append((y.data, x.grad))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-6)


def test_packed_experts_are_those_of_the_numbers_they_hold():
    wide = nn.MixtureOfExperts(32, 48, 4, 2, generator=np.random.default_rng(0))
    packed = nn.MixtureOfExperts(32, 48, 4, 2, generator=np.random.default_rng(0))
    for name in ("gate", "up", "down"):
        weights = [od.pack(one, "int8") for one in getattr(packed, name).data]
        setattr(packed, name, nn.StoredWeight(weights))
        getattr(wide, name).data[...] = [one.unpack() for one in weights]
    x = tokens(3, 5, 32).astype(np.float32)
    np.testing.assert_allclose(packed(x).data, wide(x).data, rtol=1e-4, atol=1e-5)


def test_no_tokens_at_all():
    moe = layer()
    x = od.Tensor(np.zeros((0, 6)), requires_grad=True)
    y = moe(x)
    assert y.shape == (0, 6)
    y.sum().backward()
    assert x.grad.shape == (0, 6)
    assert not moe.gate.grad.any()


@pytest.mark.parametrize("renormalize", [True, False])
def test_every_parameter_passes_gradcheck_the_router_with_the_auxiliary_loss_too(renormalize):
    moe = layer(experts=5, renormalize=renormalize)
    moe.router.data[3] = -5  # has no tokens: its weights' gradients are zeros
    x = np.abs(tokens(2, 4, 6))

    def f(given, *parameters):
        y = moe(given)
        return y * 1.0 + moe.load_balancing_loss() * 0.7

    inputs = [od.Tensor(x, requires_grad=True), *moe.parameters()]
    gradcheck(f, inputs, elements=60)
    assert moe.counts[3] == 0


def test_the_balancing_loss_is_switch_transformers():
    moe = layer()
    x = tokens(50, 6)
    moe(x)
    logits = x @ moe.router.data.T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    top = np.argsort(-p, axis=1)[:, :2]
    share = np.bincount(top.ravel(), minlength=4) / 100
    np.testing.assert_allclose(moe.load_balancing_loss().item(), 4 * share @ p.mean(0), rtol=1e-12)


def test_there_is_no_balancing_loss_before_a_call():
    with pytest.raises(RuntimeError, match="call it first"):
        layer().load_balancing_loss()


def test_it_can_be_pickled_after_a_call():
    moe = layer()
    x = tokens(3, 6)
    y = moe(x)
    again = pickle.loads(pickle.dumps(moe))
    assert again.counts is None
    np.testing.assert_array_equal(again(x).data, y.data)


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"top_k in \[1, 4\]"):
        layer(top_k=5)
    with pytest.raises(ShapeError, match=r"expected \(..., 6\), found \(3, 5\)"):
        layer()(tokens(3, 5))
    assert repr(layer(renormalize=False)) == "MixtureOfExperts(6, 5, experts=4, top_k=2, renormalize=False)"
