"""The gradient of every parameter of small decoders, the routers' with the balancing loss, against central differences."""

import numpy as np
import pytest

from odyssey.models import MoETransformer
from odyssey.nn import functional
from odyssey.testing import gradcheck

SMALL = {
    "vocab_size": 9,
    "hidden_size": 8,
    "head_size": 4,
    "mlp_size": 6,
    "expert_size": 5,
    "experts": 3,
    "init_std": 0.4,
}
KINDS = {
    "add": {},
    "hyper-connections": {"residual": "mhc", "streams": 2},
    "dense, tied, norms of heads, biases": {"experts": 0, "tied": True, "qk_norm": "head", "attention_bias": "all"},
    "window, norms of all heads, clipped, dense here and there": {
        "sliding_window": 2, "qk_norm": "full", "clip_qkv": 0.9, "sparse_step": 2, "renormalize": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter(kind):
    generator = np.random.default_rng(4)
    model = MoETransformer.tiny(**(SMALL | KINDS[kind]), generator=generator, dtype=np.float64)
    ids = generator.integers(0, 9, (2, 4))
    mask = np.array([[0, 1, 1, 1], [1, 1, 1, 0]])

    def f(*parameters):
        logits = model(ids, mask)
        return functional.add(logits, functional.scale(model.load_balancing_loss(), 0.3))

    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.data += generator.normal(scale=0.1, size=parameter.shape)  # norms and biases are not all alike
    gradcheck(f, parameters, points=1, elements=12, rtol=1e-5, atol=1e-8)
    assert all(np.any(parameter.grad != 0) for parameter in parameters)
