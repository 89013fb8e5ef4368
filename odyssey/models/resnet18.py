"""ResNet-18, the smallest of the residual networks (He, Zhang, Ren, Sun 2016, "Deep Residual Learning")."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import ShapeError
from odyssey.nn import functional, init
from odyssey.nn.containers import Sequential
from odyssey.nn.conv import Conv2d
from odyssey.nn.fold import Foldable
from odyssey.nn.linear import Linear
from odyssey.nn.norms import BatchNorm2d
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["BasicBlock", "ResNet18"]

STAGES = (64, 128, 256, 512)


class BasicBlock(Foldable):
    """relu(norm(conv(relu(norm(conv(x))))) + x), convolutions 3x3: (N, in_channels, H, W) -> (N, channels, H', W').

    Args:
        in_channels, channels: of what comes in and what goes out.
        stride: of the first convolution; where it is not 1, or the channels differ, x goes through a 1x1 convolution of
            the same stride and a norm, called `downsample` as in torchvision.
        generator: where the initial weights come from; without one they differ from run to run.
    """

    folds = (("conv1", "bn1", "relu"), ("conv2", "bn2", None))

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, *, generator: np.random.Generator | None = None
    ) -> None:
        generator = np.random.default_rng() if generator is None else generator
        self.conv1 = _conv(in_channels, channels, 3, stride, generator)
        self.bn1: BatchNorm2d | None = BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, 1, generator)
        self.bn2: BatchNorm2d | None = BatchNorm2d(channels)
        self.downsample = (
            None
            if stride == 1 and in_channels == channels
            else Sequential(_conv(in_channels, channels, 1, stride, generator), BatchNorm2d(channels))
        )

    def forward(self, x: Tensor | Array) -> Tensor:
        """(N, in_channels, H, W) -> (N, channels, H', W')."""
        y = self.conv1(x)
        y = self.conv2(y if self.bn1 is None else functional.relu(self.bn1(y)))
        y = y if self.bn2 is None else self.bn2(y)
        return functional.relu(functional.add(y, x if self.downsample is None else self.downsample(x)))


class ResNet18(Foldable):
    """ResNet-18: a first convolution, four stages of two blocks of 64, 128, 256 and 512 channels, and the classes.

    Args:
        num_classes: how many classes.
        in_channels: 3 for colours.
        stem: "cifar" begins with a 3x3 convolution and keeps the size, for images of 32x32; "imagenet" begins with a
            7x7 one of stride 2 and a max pooling, for 224x224, as torchvision's does.
        generator: where the initial weights come from; without one they differ from run to run.

    Convolutions start as He et al. 2015 derive it (normal, by fan out), norms at 1 and 0, the last layer uniform as in
    PyTorch. The names of the parameters are torchvision's: see `odyssey.models.load_resnet18` for its files and those
    of Hugging Face.

    `forward` takes (N, in_channels, H, W) float32 of any size and gives logits (N, num_classes).

    Raises:
        ValueError: `stem` is another one.
        ShapeError: the images are of another shape.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.models.ResNet18(num_classes=10)
        >>> sum(p.size for p in model.parameters())
        11173962
        >>> model.eval()(np.zeros((1, 3, 32, 32), np.float32)).shape
        (1, 10)
    """

    folds = (("conv1", "bn1", "relu"),)

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        stem: str = "cifar",
        *,
        generator: np.random.Generator | None = None,
    ) -> None:
        if stem not in ("cifar", "imagenet"):
            raise ValueError(f"ResNet18: expected stem 'cifar' or 'imagenet', found {stem!r}")
        generator = np.random.default_rng() if generator is None else generator
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.stem = stem
        first = STAGES[0]
        size, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = _conv(in_channels, first, size, stride, generator)
        self.bn1: BatchNorm2d | None = BatchNorm2d(first)
        self.layer1 = _stage(first, STAGES[0], 1, generator)
        self.layer2 = _stage(STAGES[0], STAGES[1], 2, generator)
        self.layer3 = _stage(STAGES[1], STAGES[2], 2, generator)
        self.layer4 = _stage(STAGES[2], STAGES[3], 2, generator)
        self.fc = Linear(STAGES[3], num_classes, generator=generator)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Logits (N, num_classes) for images (N, in_channels, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ShapeError(
                f"ResNet18: expected images (N, {self.in_channels}, H, W), found {x.shape}; "
                "make the model for their channels, or repeat the one they have"
            )
        y = self.conv1(x)
        y = y if self.bn1 is None else functional.relu(self.bn1(y))
        if self.stem == "imagenet":
            y = functional.max_pool2d(y, 3, 2, 1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.fc(functional.flatten(functional.global_avg_pool2d(y), 1))  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this shape: `ResNet18(**model.config())`."""
        return {"num_classes": self.num_classes, "in_channels": self.in_channels, "stem": self.stem}


def _conv(in_channels: int, channels: int, size: int, stride: int, generator: np.random.Generator) -> Conv2d:
    layer = Conv2d(in_channels, channels, size, stride, size // 2, bias=False, generator=generator)
    init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    return layer


def _stage(in_channels: int, channels: int, stride: int, generator: np.random.Generator) -> Sequential:
    return Sequential(
        BasicBlock(in_channels, channels, stride, generator=generator),
        BasicBlock(channels, channels, generator=generator),
    )
