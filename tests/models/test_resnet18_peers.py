"""ResNet-18's logits against PyTorch's, with weights carried over both ways."""

import numpy as np
import pytest

import odyssey as od

torch = pytest.importorskip("torch", reason="torch is not installed")


def block(inputs, channels, stride):
    """The layers of a block by torchvision's names; `forward` below runs them."""
    layers = {
        "conv1": torch.nn.Conv2d(inputs, channels, 3, stride, 1, bias=False),
        "bn1": torch.nn.BatchNorm2d(channels),
        "conv2": torch.nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
        "bn2": torch.nn.BatchNorm2d(channels),
    }
    if stride != 1 or inputs != channels:
        layers["downsample"] = torch.nn.Sequential(
            torch.nn.Conv2d(inputs, channels, 1, stride, bias=False), torch.nn.BatchNorm2d(channels)
        )
    return torch.nn.ModuleDict(layers)


class TorchResNet18(torch.nn.Module):
    """ResNet-18 as torchvision has it."""

    def __init__(self, classes, stem):
        super().__init__()
        self.stem = stem
        size, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = torch.nn.Conv2d(3, 64, size, stride, size // 2, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(64)
        inputs = 64
        for i, channels in enumerate((64, 128, 256, 512)):
            blocks = torch.nn.Sequential(block(inputs, channels, 1 if i == 0 else 2), block(channels, channels, 1))
            setattr(self, f"layer{i + 1}", blocks)
            inputs = channels
        self.fc = torch.nn.Linear(512, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.stem == "imagenet":
            x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
        for layers in (*self.layer1, *self.layer2, *self.layer3, *self.layer4):
            y = layers["bn2"](layers["conv2"](torch.relu(layers["bn1"](layers["conv1"](x)))))
            x = torch.relu(y + (layers["downsample"](x) if "downsample" in layers else x))
        return self.fc(x.mean((2, 3)))


def with_statistics(model):
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for name, low in (("weight", 0.5), ("bias", -0.2), ("running_mean", -0.2), ("running_var", 0.5)):
                getattr(module, name).data.uniform_(low, low + 0.7, generator=generator)
    return model.eval()


def compare(ours, theirs, x):
    with od.no_grad(), torch.no_grad():
        wanted = theirs(torch.from_numpy(x)).numpy()
        for model in (ours.eval(), od.nn.fold_batch_norm(ours)):
            np.testing.assert_allclose(model(x).data, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("stem", "size"), [("cifar", 32), ("imagenet", 96)])
def test_logits_agree_with_torch_both_ways(stem, size):
    torch.manual_seed(0)
    theirs = with_statistics(TorchResNet18(7, stem))
    x = np.random.default_rng(0).standard_normal((2, 3, size, size), np.float32)
    ours = od.models.resnet18_from(theirs.state_dict())
    assert ours.config() == {"num_classes": 7, "in_channels": 3, "stem": stem}
    compare(ours, theirs, x)
    fresh = od.models.ResNet18(7, stem=stem, generator=np.random.default_rng(3))
    state = {name: torch.from_numpy(array) for name, array in od.models.resnet18_state(fresh).items()}
    theirs.load_state_dict(state, strict=True)
    compare(fresh, theirs, x)


def test_a_training_step_agrees_with_torch():
    """Loss, gradients and running statistics from the same weights, in float64, where no ReLU falls on the other side."""
    torch.manual_seed(0)
    theirs = TorchResNet18(10, "cifar").train()
    ours = od.models.resnet18_from(theirs.state_dict())
    theirs.double()
    for tensor in (*ours.parameters(), *ours.buffers()):
        tensor.data = tensor.data.astype(np.float64)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3, 16, 16)), rng.integers(0, 10, 4)
    loss = od.nn.functional.cross_entropy(ours(x), y)
    loss.backward()
    wanted = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y))
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-9)
    for (name, mine), one in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        other = one.grad.numpy()
        assert np.abs(mine.grad - other).max() <= 1e-8 * np.abs(other).max(), name
    for name, buffer in ours.named_buffers():
        np.testing.assert_allclose(buffer.data, theirs.state_dict()[name].numpy(), rtol=1e-8, err_msg=name)


def test_logits_agree_with_transformers_both_ways():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", num_labels=7
    )
    theirs = with_statistics(transformers.ResNetForImageClassification(config))
    x = np.random.default_rng(0).standard_normal((2, 3, 96, 96), np.float32)
    compare(od.models.resnet18_from(theirs.state_dict()), lambda images: theirs(images).logits, x)
    fresh = od.models.ResNet18(7, stem="imagenet", generator=np.random.default_rng(3))
    named = od.models.resnet18_state(fresh, "transformers")
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in named.items()}, strict=True)
    compare(fresh, lambda images: theirs(images).logits, x)
