"""Which float32 convolutions go by Winograd's tiles, and how large the numbers are that such a tile passes through.

The rules are those of `_kernels/c/winograd.h` and `winograd_weight.h`, told again. A tile's 2x2 outputs come from sums over
its whole 4x4 patch: an error is bounded by the magnitudes of that patch, not only by the nine elements below one output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.typing import Array

__all__ = ["magnitude", "pair", "pays", "turned", "weight_magnitude", "weight_pays"]

SOURCE = np.abs(np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float64))
KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]], np.float64)
BACK = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], np.float64)
FORWARD_TRANSFORMS, WEIGHT_TRANSFORMS, WEIGHT_TILES = 100, 200, 64


def pays(
    image: tuple[int, ...],
    weight: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    transforms: int = FORWARD_TRANSFORMS,
    **_: Any,
) -> bool:
    """Whether the kernels go by tiles, for an image (N, C, H, W) and a weight (O, C / groups, kh, kw)."""
    if weight[2:] != (3, 3) or pair(stride) != (1, 1) or pair(dilation) != (1, 1):
        return False
    across, down = pair(padding)[::-1]
    height, width = image[2] + 2 * down - 2, image[3] + 2 * across - 2
    outputs, channels = weight[0] // groups, weight[1]
    if min(channels, outputs) < 16 or min(height, width) < 4:
        return False
    tiles = -(-height // 2) * -(-width // 2)
    by_tiles = tiles * (16 * outputs * channels + transforms * (outputs + channels))
    return by_tiles < 9 * height * width * outputs * channels


def weight_pays(image: tuple[int, ...], weight: tuple[int, ...], padding: Any = 0, **options: Any) -> bool:
    """The same for the gradient of the weight."""
    (down, across) = pair(padding)
    tiles = -(-(image[2] + 2 * down - 2) // 2) * -(-(image[3] + 2 * across - 2) // 2)
    options |= {"padding": padding, "transforms": WEIGHT_TRANSFORMS}
    return image[0] * tiles >= WEIGHT_TILES and pays(image, weight, **options)


def magnitude(x: Array, weight: Array, padding: tuple[int, int], groups: int) -> Array:
    """|At| ((|G| |weight| |Gt|) * (|Bt| |x| |B|)) |A|, summed over the channels."""
    n, channels, height, width = x.shape
    outputs = len(weight)
    out_h, out_w = height + 2 * padding[0] - 2, width + 2 * padding[1] - 2
    source = _source(x, padding, groups)
    down, across = source.shape[3:5]
    kernel = KERNEL @ np.abs(weight.astype(np.float64)) @ KERNEL.T
    kernel = kernel.reshape(groups, outputs // groups, channels // groups, 4, 4)
    products = np.einsum("ngcyxij,gocij->ngoyxij", source, kernel, optimize=True)
    tiles = (BACK @ products @ BACK.T).reshape(n, outputs, down, across, 2, 2)
    result = tiles.transpose(0, 1, 2, 4, 3, 5).reshape(n, outputs, 2 * down, 2 * across)
    return np.asarray(result[:, :, :out_h, :out_w])


def weight_magnitude(grad: Array, x: Array, padding: tuple[int, int], groups: int) -> Array:
    """|Gt| ((|A| |grad| |At|) * (|Bt| |x| |B|)) |G|, summed over the tiles."""
    n, outputs, out_h, out_w = grad.shape
    source = _source(x, padding, groups)
    down, across = source.shape[3:5]
    padded = np.zeros((n, outputs, 2 * down, 2 * across))
    padded[:, :, :out_h, :out_w] = np.abs(grad.astype(np.float64))
    tiles = padded.reshape(n, groups, outputs // groups, down, 2, across, 2).swapaxes(4, 5)
    sums = np.einsum("ngoyxij,ngcyxij->gocij", BACK.T @ tiles @ BACK, source, optimize=True)
    return np.asarray((KERNEL.T @ sums @ KERNEL).reshape(outputs, x.shape[1] // groups, 3, 3))


def _source(x: Array, padding: tuple[int, int], groups: int) -> Array:
    """|Bt| |x| |B| of every patch: (images, groups, channels of a group, rows and columns of tiles, 4, 4)."""
    n, channels, height, width = x.shape
    top, left = padding
    down, across = -(-(height + 2 * top - 2) // 2), -(-(width + 2 * left - 2) // 2)
    padded = np.zeros((n, channels, 2 * down + 2, 2 * across + 2))
    inside = np.abs(x.astype(np.float64))[:, :, max(0, -top) :, max(0, -left) :]
    inside = inside[:, :, : padded.shape[2] - max(0, top), : padded.shape[3] - max(0, left)]
    padded[:, :, max(0, top) :, max(0, left) :][:, :, : inside.shape[2], : inside.shape[3]] = inside
    patches = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
    return np.asarray((SOURCE @ patches @ SOURCE.T).reshape(n, groups, channels // groups, down, across, 4, 4))


def turned(weight: Array, groups: int) -> Array:
    """The weight of the convolution that is the gradient of the input: taps reversed, channels and outputs swapped."""
    outputs, channels, *kernel = weight.shape
    by_group = weight.reshape(groups, outputs // groups, channels, *kernel)[..., ::-1, ::-1]
    return by_group.swapaxes(1, 2).reshape(groups * channels, outputs // groups, *kernel)


def pair(value: Any) -> tuple[int, int]:
    """An int stands for both directions."""
    return value if isinstance(value, tuple) else (value, value)
