"""Which float32 convolutions go by Winograd's tiles, and how large the numbers are that such a tile passes through.

The rule is `conv_winograd_pays` of `_kernels/c/winograd.h`, told again. A tile's 2x2 outputs come from sums over its
whole 4x4 patch: an error is bounded by the magnitudes of that patch, not only by the nine elements below one output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.typing import Array

__all__ = ["magnitude", "pair", "pays", "turned", "weight_magnitude"]

SOURCE = np.abs(np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float64))
KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]], np.float64)
BACK = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], np.float64)


def pays(
    image: tuple[int, ...],
    weight: tuple[int, ...],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
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
    return tiles * (16 * outputs * channels + 100 * (outputs + channels)) < 9 * height * width * outputs * channels


def magnitude(x: Array, weight: Array, padding: tuple[int, int], groups: int) -> Array:
    """|At| ((|G| |weight| |Gt|) * (|Bt| |x| |B|)) |A|, summed over the channels."""
    outputs, (out_h, out_w) = len(weight), (x.shape[2] + 2 * padding[0] - 2, x.shape[3] + 2 * padding[1] - 2)
    source = _sources(x, padding, groups)
    n, _, channels, down, across = source.shape[:5]
    channels *= groups
    kernel = KERNEL @ np.abs(weight.astype(np.float64)) @ KERNEL.T
    kernel = kernel.reshape(groups, outputs // groups, channels // groups, 4, 4)
    products = np.einsum("ngcyxij,gocij->ngoyxij", source, kernel, optimize=True)
    tiles = (BACK @ products @ BACK.T).reshape(n, outputs, down, across, 2, 2)
    result = tiles.transpose(0, 1, 2, 4, 3, 5).reshape(n, outputs, 2 * down, 2 * across)
    return np.asarray(result[:, :, :out_h, :out_w])


def weight_magnitude(grad: Array, x: Array, padding: tuple[int, int], groups: int) -> Array:
    """|Gt| (sum over tiles of (|A| |grad| |At|) * (|Bt| |x| |B|)) |G|: the same of the gradient of the weight."""
    source = _sources(x, padding, groups)
    n, _, _, down, across = source.shape[:5]
    outputs, height, width = grad.shape[1:]
    whole = np.zeros((n, outputs, 2 * down, 2 * across))
    whole[:, :, :height, :width] = np.abs(grad.astype(np.float64))
    tiles = whole.reshape(n, groups, outputs // groups, down, 2, across, 2).swapaxes(4, 5)
    products = np.einsum("ngcyxij,ngoyxij->gocij", source, BACK.T @ tiles @ BACK, optimize=True)
    result = KERNEL.T @ products @ KERNEL
    return np.asarray(result.reshape(outputs, *result.shape[2:]))


def _sources(x: Array, padding: tuple[int, int], groups: int) -> Array:
    """|Bt| |d| |B| of every 4x4 patch d: (N, groups, channels of a group, tiles down, tiles across, 4, 4)."""
    n, channels, height, width = x.shape
    (top, left), (out_h, out_w) = padding, (height + 2 * padding[0] - 2, width + 2 * padding[1] - 2)
    down, across = -(-out_h // 2), -(-out_w // 2)
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
