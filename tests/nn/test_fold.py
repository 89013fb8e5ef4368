import numpy as np
import pytest

import odyssey as od
from odyssey import nn


def seen(model):
    """Norms with statistics and factors that matter."""
    rng = np.random.default_rng(0)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        low = 0.5 if "var" in name else -0.3
        tensor.data[...] = rng.uniform(low, low + 1, tensor.shape)
    return model.eval()


def same(model, x):
    folded = nn.fold_batch_norm(model)
    np.testing.assert_allclose(folded(x).data, model(x).data, rtol=1e-5, atol=1e-5)
    return folded


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_rows_of_layers_fold_to_the_same_function(bias, affine):
    rng = np.random.default_rng(0)
    model = seen(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=bias), nn.BatchNorm2d(8, affine=affine), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(16, 5, bias=bias), nn.BatchNorm1d(5, affine=affine),
        )
    )  # fmt: skip
    folded = same(model, rng.standard_normal((6, 3, 4, 4), np.float32))
    assert [type(layer).__name__ for layer in folded] == ["FrozenConv2d", "Conv2d", "ReLU", "Flatten", "Linear"]
    assert folded[0].activation == "relu"
    assert len(model) == 8


def test_what_cannot_be_folded_stays():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32)
    for model in (
        nn.Sequential(nn.Conv2d(3, 3, 3, activation="relu"), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)),
        nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()),
    ):
        assert len(same(seen(model), x)) == 2


def test_the_model_itself_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)).train()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    folded = nn.fold_batch_norm(model)
    assert model.training
    assert not folded.training
    folded[0].bias.data[...] = 0
    assert all((before[name] == array).all() for name, array in model.state_dict().items())


def test_a_module_names_its_own_pairs():
    class Block(nn.Foldable):
        folds = (("conv", "norm", "relu"),)

        def __init__(self):
            self.conv = nn.Conv2d(3, 3, 1)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return y if self.norm is None else od.nn.functional.relu(self.norm(y))

    folded = same(seen(nn.Sequential(Block())), np.random.default_rng(0).standard_normal((2, 3, 4, 4), np.float32))
    assert folded[0].norm is None
    assert folded[0].conv.activation == "relu"


def test_a_folded_convolution_cannot_be_changed_behind_its_packing():
    folded = nn.fold_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)))
    assert list(folded.parameters()) == []
    with pytest.raises(ValueError, match="read-only"):
        folded[0].weight.data[...] = 0
    again = nn.fold_batch_norm(folded)  # nothing left to fold, and a copy all the same
    x = np.ones((1, 3, 5, 5), np.float32)
    np.testing.assert_array_equal(again(x).data, folded(x).data)
    assert again[0].kernel is not folded[0].kernel


def test_a_folded_convolution_still_has_a_gradient_with_respect_to_the_images():
    model = seen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    values = np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32)
    gradients = []
    for each in (model, nn.fold_batch_norm(model)):
        x = od.Tensor(values, requires_grad=True)
        each(x).sum().backward()
        gradients.append(x.grad)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
    assert not nn.fold_batch_norm(model)(od.Tensor(values)).requires_grad
