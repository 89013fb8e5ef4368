"""The hyper-connection layer: its formulas written out, gradients through the tape, names, metrics."""

import numpy as np
import pytest

import odyssey as od
from odyssey.nn.hyper import transformers_name
from odyssey.testing import gradcheck

RNG = np.random.default_rng(3)


def a_layer(**options):
    hc = od.nn.HyperConnection(3, 5, generator=np.random.default_rng(0), dtype=np.float64, **options)
    for parameter in hc.parameters():
        parameter.data[...] = np.random.default_rng(1).standard_normal(parameter.shape)
    return hc


def by_hand(hc, x, f):
    """The issue's formulas for one token, in loops."""
    n, m = hc.streams, hc.fn.data @ x.ravel() / np.sqrt(np.mean(x * x) + hc.norm_eps)
    base, scale = hc.base.data, hc.scale.data
    pre = 1 / (1 + np.exp(-(m[:n] * scale[0] + base[:n]))) + hc.eps
    post = 2 / (1 + np.exp(-(m[n : 2 * n] * scale[1] + base[n : 2 * n])))
    logits = (m[2 * n :] * scale[2] + base[2 * n :]).reshape(n, n)
    comb = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) + hc.eps
    comb = comb / (comb.sum(0, keepdims=True) + hc.eps)
    for _ in range(hc.iterations - 1):
        comb = comb / (comb.sum(1, keepdims=True) + hc.eps)
        comb = comb / (comb.sum(0, keepdims=True) + hc.eps)
    collapsed = sum(pre[j] * x[j] for j in range(n))
    mixed = [post[k] * f + sum(comb[j, k] * x[j] for j in range(n)) for k in range(n)]
    return collapsed, np.array(mixed), comb


def test_pre_and_post_are_the_formulas_with_the_transpose_where_it_belongs():
    hc, x, f = a_layer(iterations=2), RNG.standard_normal((2, 4, 3, 5)), RNG.standard_normal((2, 4, 5))
    collapsed, state = hc.pre(x)
    y = hc.post(f, x, state)
    for at in np.ndindex(2, 4):
        expected_collapsed, expected, comb = by_hand(hc, x[at], f[at])
        assert np.abs(comb - comb.T).max() > 0.01  # asymmetric: a transpose would show
        np.testing.assert_allclose(collapsed.data[at], expected_collapsed, rtol=1e-12)
        np.testing.assert_allclose(y.data[at], expected, rtol=1e-12)


@pytest.mark.parametrize("variant", ["default", "paper"])
def test_gradients_through_the_whole_layer(variant):
    hc = a_layer(variant=variant, iterations=4)
    x = RNG.standard_normal((2, 2, 3, 5))
    names = [name for name, _ in hc.named_parameters()]

    def f(x, *parameters):
        for name, parameter in zip(names, parameters, strict=True):
            setattr(hc, name, parameter)
        return hc(x, od.nn.functional.tanh)

    gradcheck(f, [od.Tensor(one.copy(), requires_grad=True) for one in (x, *[p.data for p in hc.parameters()])])


def test_gradient_without_post_and_through_one_result_alone():
    hc = a_layer()
    x = od.Tensor(RNG.standard_normal((2, 3, 5)), requires_grad=True)
    collapsed, _ = hc.pre(x)
    collapsed.backward(np.ones((2, 5)))
    assert np.abs(x.grad).sum() > 0
    _, state = hc.pre(x)
    state.comb.backward(RNG.standard_normal((2, 3, 3)))
    assert np.abs(hc.base.grad[6:]).sum() > 0


def test_paper_variant_is_columns_then_rows_of_the_exponential():
    hc = a_layer(variant="paper", eps=0.0, norm_eps=1e-6)
    x = RNG.standard_normal((1, 3, 5))
    collapsed, state = hc.pre(x)
    unit = x.ravel() / np.sqrt(np.mean(x * x) + 1e-6)
    h = np.exp(hc.alpha_res.data * (hc.phi_res.data @ unit) + hc.b_res.data).reshape(3, 3)
    for _ in range(20):
        h = h / h.sum(0, keepdims=True)
        h = h / h.sum(1, keepdims=True)
    np.testing.assert_allclose(state.comb.data[0], h.T, rtol=1e-9)  # x' = h x
    pre = 1 / (1 + np.exp(-(hc.alpha_pre.data * (hc.phi_pre.data @ unit) + hc.b_pre.data)))
    np.testing.assert_allclose(collapsed.data[0], pre @ x[0], rtol=1e-12)


def test_head_mean_and_replication():
    head = od.nn.HyperHead(3, 5, dtype=np.float64)
    x = RNG.standard_normal((2, 4, 5))
    streams = head.expand(x)
    assert (streams.data == x[:, :, np.newaxis]).all()
    np.testing.assert_allclose(head.collapse(streams).data, x, rtol=1e-15)
    gradcheck(lambda x: head(head.expand(x)), [od.Tensor(x, requires_grad=True)])


class Block(od.nn.Module):
    def __init__(self, kind, hidden):
        self.attn_hc = od.nn.residual(kind, hidden)
        self.ffn_hc = od.nn.residual(kind, hidden)
        self.mlp = od.nn.Linear(hidden, hidden)

    def forward(self, x):
        for connection in (self.attn_hc, self.ffn_hc):
            collapsed, state = connection.pre(x)
            x = connection.post(self.mlp(collapsed), x, state)
        return x


def test_a_block_is_written_once_for_both_residuals():
    x = np.ones((2, 3, 8), np.float32)
    for kind in ("add", "mhc"):
        block = Block(kind, 8)
        y = block.attn_hc.collapse(block(block.attn_hc.expand(x)))
        assert y.shape == x.shape
        od.nn.functional.sum(y).backward()
        assert all(p.grad is not None for p in block.parameters())
    with pytest.raises(ValueError, match="'add' or 'mhc'"):
        od.nn.residual("plus", 8)


def test_a_checkpoint_named_as_transformers_does_loads():
    class Decoder(od.nn.Module):
        def __init__(self):
            self.layers = [Block("mhc", 8) for _ in range(2)]
            self.hc_head = od.nn.HyperHead(4, 8)

    shapes = {"fn": (24, 32), "base": (24,), "scale": (3,)}
    native = {f"layers.{i}.hc_{site}_{name}": RNG.standard_normal(shape).astype(np.float32)
              for i in range(2) for site in ("attn", "ffn") for name, shape in shapes.items()}  # fmt: skip
    native |= {"hc_head_fn": np.zeros((4, 32), np.float32), "hc_head_base": np.zeros(4), "hc_head_scale": np.ones(1)}
    model = Decoder()
    state = {transformers_name(name): value for name, value in native.items()}
    state |= {name: value for name, value in model.state_dict().items() if ".mlp." in name}
    model.load_state_dict(state)
    assert (model.layers[1].ffn_hc.fn.data == native["layers.1.hc_ffn_fn"]).all()
    assert transformers_name("model.layers.0.attn_norm.weight") == "model.layers.0.attn_norm.weight"


def test_metrics_and_a_watch_that_calls_back():
    hc, seen = od.nn.HyperConnection(hidden=8, iterations=1), []
    hc.fn.data *= 5
    hc.watch(lambda *found: seen.append(found), row_residual=1e-6, iterations=5)
    x = RNG.standard_normal((3, 4, 8)).astype(np.float32)
    collapsed, state = hc.pre(x)
    hc.post(collapsed, x, state)
    metrics = hc.metrics()
    assert metrics["calls"] == 1
    assert metrics["tokens"] == 3
    assert metrics["seconds"] > 0
    assert metrics["bytes"] > 0
    assert metrics["column_residual"] < 1e-4 < metrics["row_residual"]
    assert [name for name, *_ in seen] == ["row_residual"]
    with pytest.raises(ValueError, match="found 'speed'"):
        hc.watch(print, speed=1)


@pytest.mark.parametrize("isa", od.isa.available())
def test_a_token_alone_has_the_bits_of_the_token_in_a_batch(isa):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((37, 4, 130)).astype(np.float32)
    fn, base = rng.standard_normal((24, 520)).astype(np.float32) / 20, rng.standard_normal(24).astype(np.float32)
    scale, f = np.ones(3, np.float32), rng.standard_normal((37, 130)).astype(np.float32)
    with od.isa.use(isa):
        whole = od.hyper_pre(x, fn, base, scale)
        mixed = od.hyper_post(f, x, *whole[1:3])
        back = od.hyper_pre_backward(f, whole[1], whole[2], x, fn, base, scale, whole[3])[0]
        for t in (0, 15, 16, 36):
            own = slice(t, t + 1)
            alone = od.hyper_pre(x[own], fn, base, scale)
            assert all(a.tobytes() == w[own].tobytes() for a, w in zip(alone, whole, strict=True))
            assert od.hyper_post(f[own], x[own], *alone[1:3]).tobytes() == mixed[own].tobytes()
            again = od.hyper_pre_backward(f[own], *alone[1:3], x[own], fn, base, scale, alone[3])[0]
            assert again.tobytes() == back[own].tobytes()


def test_streams_may_be_mixed_in_place():
    rng = np.random.default_rng(0)
    f, x, post, comb = (rng.standard_normal(s).astype(np.float32) for s in ((3, 33), (3, 4, 33), (3, 4), (3, 4, 4)))
    expected = od.hyper_post(f, x, post, comb)
    assert od.hyper_post(f, x, post, comb, out=x) is x
    assert x.tobytes() == expected.tobytes()
