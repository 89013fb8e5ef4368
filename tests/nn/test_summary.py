"""The summary's numbers, by hand."""

import numpy as np
import pytest

import odyssey as od
from odyssey import nn


def by_name(found):
    return {one.name: one for one in found.layers}


def test_lenet5_by_hand():
    found = nn.summary(od.models.LeNet5(10, image_size=28), (1, 1, 28, 28))
    rows = {name: (one.kind, one.shape, one.parameters, one.flops, one.bytes) for name, one in by_name(found).items()}
    assert rows == {
        "": ("LeNet5", (1, 10), 61_706, 0, 40),
        "conv1": ("Conv2d", (1, 6, 28, 28), 6 * 25 + 6, 2 * 28 * 28 * 6 * 25, 6 * 28 * 28 * 4),
        "conv2": ("Conv2d", (1, 16, 10, 10), 16 * 6 * 25 + 16, 2 * 10 * 10 * 16 * 6 * 25, 16 * 100 * 4),
        "fc1": ("Linear", (1, 120), 400 * 120 + 120, 2 * 400 * 120, 480),
        "fc2": ("Linear", (1, 84), 120 * 84 + 84, 2 * 120 * 84, 336),
        "fc3": ("Linear", (1, 10), 84 * 10 + 10, 2 * 84 * 10, 40),
    }
    assert (found.parameters, found.buffers, found.parameter_bytes) == (61_706, 0, 61_706 * 4)
    assert found.flops == 833_040
    assert found.output_bytes == 4 * (6 * 784 + 1600 + 120 + 84 + 10)
    text = str(found).splitlines()
    assert text[0].split() == ["layer", "output", "parameters", "FLOPs", "memory"]
    assert text[3].split() == ["conv1:", "Conv2d", "(1,", "6,", "28,", "28)", "156", "235,200", "18.4", "KiB"]
    assert text[-3:] == ["parameters 61,706 trained (241.0 KiB)", "FLOPs 833,040", "outputs 25.5 KiB"]


def test_convolutions_of_every_kind():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2),
        nn.BatchNorm2d(8),
        nn.SeparableConv2d(8, 6, 3, padding=1),
        nn.ConvTranspose2d(6, 2, 3, stride=2, padding=1, output_padding=1),
    )
    found = nn.summary(model, (2, 4, 5, 5))
    flops = {name: one.flops for name, one in by_name(found).items() if one.flops}
    assert flops == {
        "0": 2 * 2 * 25 * 8 * 2 * 9,
        "2.depthwise": 2 * 2 * 25 * 8 * 9,
        "2.pointwise": 2 * 2 * 25 * 6 * 8,
        "3": 2 * 2 * 25 * 6 * 2 * 9,
    }
    assert found.layers[-1].shape == (2, 2, 10, 10)
    assert found.buffers == 16
    assert ", 16 kept" in str(found)


def test_attention_counts_scores_and_their_product():
    found = nn.summary(nn.MultiHeadAttention(8, 2, kv_heads=1), (2, 5, 8), (2, 7, 8))
    assert by_name(found)[""].flops == 2 * (2 * 2 * 5 * 7 * 4) * 2
    assert by_name(found)["k_proj"].flops == 2 * 2 * 7 * 8 * 4


def test_a_layer_called_twice_costs_twice_and_counts_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(4, 4)
            self.again = self.layer
            self.unused = nn.Linear(4, 4)

        def forward(self, x):
            return [self.again(self.layer(x)), "no tensor"]

    model = Twice().train()
    model.layer.eval()
    found = nn.summary(model, np.ones((3, 4), np.float32))
    rows = by_name(found)
    assert list(rows) == ["", "layer", "unused"]
    assert (rows["layer"].flops, rows["unused"].flops, rows["unused"].shape) == (2 * 2 * 3 * 16, 0, None)
    assert found.parameters == 40
    assert (model.training, model.layer.training) == (True, False)
    assert all(not module._hooks.after for module in model.modules())


def test_an_embedding_takes_integers_and_sizes_are_readable():
    assert nn.summary(nn.Embedding(10, 4), (2, 3), dtype=np.int64).layers[0].shape == (2, 3, 4)
    big = str(nn.summary(nn.Linear(1024, 2048), (600, 1024)))
    assert "(8.0 MiB)" in big
    assert "4.7 MiB" in big


def test_the_hooks_go_and_the_mode_comes_back_after_an_error():
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(ValueError, match="5"):
        nn.summary(model, (2, 5))
    assert model.training
    assert not model[0]._hooks.after
