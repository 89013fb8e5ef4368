"""LeNet-5, the network that read handwritten digits on cheques (LeCun, Bottou, Bengio, Haffner 1998)."""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.errors import ShapeError
from odyssey.nn import functional
from odyssey.nn.conv import Conv2d
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["LeNet5"]


class LeNet5(Module):
    """LeNet-5: two convolutions with pooling, three linear layers.

    The shape is that of 1998 (6 and 16 maps of 5x5, then 120, 84 and the classes); the parts are today's. ReLU stands
    for the scaled tanh: it does not saturate, so the network learns in a tenth of the epochs, and its derivative is
    read off the output, so nothing more is kept for the backward. Max pooling stands for the trained average: a stroke
    is found or it is not, wherever in the window it lies. Every second map sees all six first ones; the partial
    connections of the original saved time on a machine of 1998. The first layer is kept at 120 features by a linear
    layer over 16x5x5, which is the same sum as the original's 5x5 convolution over a 5x5 map.

    Args:
        num_classes: how many classes.
        in_channels: 1 for grey images.
        image_size: 32, or 28 (MNIST's), where the first convolution pads by 2 and sees the same 32.
        generator: where the initial weights come from; without one they differ from run to run.

    `forward` takes (N, in_channels, image_size, image_size) float32 and gives logits (N, num_classes).

    Raises:
        ShapeError: `image_size` is neither 28 nor 32, or the images are of another shape.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.models.LeNet5(num_classes=10)
        >>> model(np.zeros((2, 1, 32, 32), np.float32)).shape
        (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 32,
        *,
        generator: np.random.Generator | None = None,
    ) -> None:
        if image_size not in (28, 32):
            raise ShapeError(f"LeNet5: expected image_size 28 or 32, found {image_size}; resize the images")
        generator = np.random.default_rng() if generator is None else generator
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.image_size = image_size
        padding = (32 - image_size) // 2
        self.conv1 = Conv2d(in_channels, 6, 5, padding=padding, activation="relu", generator=generator)
        self.conv2 = Conv2d(6, 16, 5, activation="relu", generator=generator)
        self.fc1 = Linear(16 * 5 * 5, 120, activation="relu", generator=generator)
        self.fc2 = Linear(120, 84, activation="relu", generator=generator)
        self.fc3 = Linear(84, num_classes, generator=generator)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Logits (N, num_classes) for images (N, in_channels, image_size, image_size)."""
        if x.shape[1:] != (self.in_channels, self.image_size, self.image_size):
            raise ShapeError(
                f"LeNet5: expected images (N, {self.in_channels}, {self.image_size}, {self.image_size}), "
                f"found {x.shape}; resize them, or make the model for their size"
            )
        x = functional.max_pool2d(self.conv1(x), 2)  # (N, 6, 14, 14)
        x = functional.max_pool2d(self.conv2(x), 2)  # (N, 16, 5, 5)
        x = self.fc2(self.fc1(functional.flatten(x, 1)))
        return self.fc3(x)  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this shape: `LeNet5(**model.config())`."""
        return {"num_classes": self.num_classes, "in_channels": self.in_channels, "image_size": self.image_size}
