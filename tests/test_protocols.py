"""Layers satisfy the protocols, and what satisfies them trains: no base class is asked for."""

import sys
from pathlib import Path

import numpy as np
import pytest

import odyssey as od
from odyssey.protocols import Composable, Differentiable, Parameterized, Serializable
from odyssey.training import Trainer, evaluate
from odyssey.training.checkpoint import load_checkpoint, save_checkpoint

sys.path.insert(0, str(Path(__file__).parent / "nn"))

from gradient_rows import LAYERS

F = od.nn.functional


@pytest.mark.parametrize("protocol", [Differentiable, Parameterized, Serializable, Composable])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_satisfy_every_protocol(name, protocol):
    layer = LAYERS[name][0]()
    assert isinstance(getattr(layer, "layer", layer), protocol)


class Ring:
    """A user's own classifier: a class by distance from the origin. No base class."""

    def __init__(self):
        self.slope = od.Tensor([0.5, -0.5], requires_grad=True)
        self.bias = od.Tensor([0.0, 0.0], requires_grad=True)

    def forward(self, x):
        return F.norm(x, 1, keepdims=True) * self.slope + self.bias

    __call__ = forward

    def named_parameters(self):
        yield "slope", self.slope
        yield "bias", self.bias

    def parameters(self):
        return (tensor for _, tensor in self.named_parameters())

    def state_dict(self):
        return {name: tensor.data for name, tensor in self.named_parameters()}

    def load_state_dict(self, state):
        for name, tensor in self.named_parameters():
            tensor.data[...] = state[name]


def rings(count=60):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    points = rng.normal(size=(count, 3)).astype(np.float32)
    points *= ((1 + 2 * labels) / np.linalg.norm(points, axis=1)).astype(np.float32)[:, None]
    return od.data.ArrayDataset(points, labels)


def trainer_of(model):
    loader = od.data.DataLoader(rings(), 10, shuffle=True, seed=3)
    return Trainer(model, od.optim.SGD(model, lr=0.5, momentum=0.9), loader, held_out=rings())


def test_a_users_own_class_trains_is_saved_and_goes_on_to_the_same_bits(tmp_path):
    straight = trainer_of(Ring())
    straight.fit(epochs=12)
    assert straight.history[-1]["test_accuracy"] == 1.0

    first = trainer_of(Ring())
    first.fit(epochs=5)
    save_checkpoint(first, tmp_path / "run.safetensors")
    second = trainer_of(Ring())
    load_checkpoint(second, tmp_path / "run.safetensors")
    second.fit(epochs=12)
    for name, array in straight.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], array)

    od.save(second.model, tmp_path / "model.safetensors")
    third = Ring()
    third.load_state_dict(od.load(tmp_path / "model.safetensors"))
    assert evaluate(third, rings()).accuracy == 1.0


def test_a_model_without_a_forward_is_refused():
    data = od.data.DataLoader(rings(), 10)
    with pytest.raises(TypeError, match=r"expected a model with forward\(\).*found function"):
        Trainer(lambda x: x, od.optim.SGD(Ring(), lr=0.1), data)


def test_a_model_without_a_state_is_trained_but_not_saved(tmp_path):
    class Stateless(Ring):
        state_dict = None

    trainer = trainer_of(Stateless())
    trainer.fit(epochs=1)
    with pytest.raises(TypeError, match=r"expected a model with state_dict\(\)"):
        save_checkpoint(trainer, tmp_path / "run.safetensors")


def test_what_lacks_a_method_does_not_satisfy():
    assert isinstance(Ring(), Parameterized)
    assert not isinstance(Ring(), Composable)
    assert not isinstance(object(), Differentiable)
