"""Every parameter of a tiny mixture-of-experts transformer, the routers' included, against differences in float64."""

import numpy as np
import pytest

import odyssey as od
from odyssey.testing import gradcheck

F = od.nn.functional


@pytest.mark.parametrize("residual", ["add", "mhc"])
def test_every_parameter_passes_gradcheck(residual):
    config = od.models.MoEConfig(
        vocab_size=11, hidden_size=8, layers=2, heads=2, kv_heads=1, experts=3, top_k=2, expert_size=6,
        residual=residual, streams=2, init_std=0.5,
    )  # fmt: skip
    model = od.models.MoETransformer(config, generator=np.random.default_rng(0), dtype=np.float64)
    ids = np.random.default_rng(1).integers(0, 11, (2, 6))

    def loss(*parameters):
        logits = F.reshape(model(ids[:, :-1]), -1, 11)
        told = F.cross_entropy(logits, ids[:, 1:].reshape(-1))
        return F.reshape(F.add(told, F.scale(model.load_balancing_loss(), 0.1)), 1)

    names = [name for name, _ in model.named_parameters()]
    assert sum("router" in name for name in names) == 2
    gradcheck(loss, list(model.parameters()), points=1, elements=12, rtol=1e-5, atol=1e-7)
    assert all(np.abs(p.grad).max() > 0 for name, p in model.named_parameters() if "router" in name)
