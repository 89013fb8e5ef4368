"""Filters of images, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, ORDINARY
from odyssey.testing.draw import Draw
from odyssey.testing.tolerance import Gamma
from odyssey.typing import Array

Size = tuple[tuple[int, ...], tuple[int, int]]
"""An image's shape and a kernel's."""

BORDERS = tuple({"border": name} for name in ("reflect", "constant", "nearest", "mirror", "wrap"))
SIZES: tuple[Size, ...] = (
    ((9, 17), (3, 3)),
    ((2, 3, 7, 35), (5, 5)),
    ((1, 12, 19), (7, 7)),
    ((6, 33), (2, 5)),
    ((1, 1), (3, 3)),
    ((2, 3), (7, 4)),
    ((5, 1), (1, 6)),
    ((3, 600), (5, 3)),
    ((0, 4, 5), (3, 3)),
)
SMALL: tuple[Size, ...] = (((2, 4, 5), (3, 3)), ((3, 2), (4, 5)))
BENCH: tuple[Size, ...] = tuple(((side, side), (k, k)) for side in (64, 256, 1024) for k in (3, 5, 7))


def filtered(draw: Draw, size: Size, **options: Any) -> Call:
    """filter2d(image, kernel, ...)."""
    image, kernel = size
    if options.get("border") == "constant":
        options["cval"] = 1.5
    return call(draw(image), draw(kernel), **options)


def by_image(draw: Draw, size: Size, **options: Any) -> Call:
    """filter2d_backward_image(grad, kernel, ...)."""
    return call(draw(size[0]), draw(size[1]), **options)


def by_kernel(draw: Draw, size: Size, **options: Any) -> Call:
    """filter2d_backward_kernel(grad, image, kernel_shape, ...)."""
    return call(draw(size[0]), *filtered(draw, size, **options).args[:1], size[1], **options)


def scipy_correlate(given: Call) -> Callable[[], object] | None:
    """`scipy.ndimage.correlate` into an array of its own; None without SciPy, or for more than one plane."""
    image, kernel = given.args
    try:
        from scipy import ndimage  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    if image.ndim != 2:
        return None
    mode, cval = given.kwargs.get("border", "reflect"), given.kwargs.get("cval", 0.0)
    return partial(ndimage.correlate, image, kernel, np.empty_like(image), mode, cval)


def _taps(grad: Array, kernel: Array, **_: Any) -> int:
    return kernel.size + sum(kernel.shape) + 4


FILTERS = [
    Case(
        op="filter2d",
        inputs=filtered,
        tolerance=Gamma(lambda image, kernel, **_: kernel.size + 2, magnitudes.filter2d),
        why="A chain of fused multiply-adds over the kernel stays within its γ bound.",
        grad=Grad(
            wrt=(0, 1),
            backward=lambda ops, g, y, image, kernel, border="reflect", cval=0.0: (
                ops.filter2d_backward_image(g, kernel, border),
                ops.filter2d_backward_kernel(g, image, kernel.shape, border, cval),
            ),
            sizes=SMALL,
        ),
        sizes=SIZES,
        large=(((3, 210, 300), (3, 3)), ((1, 70, 900), (5, 5))),
        options=BORDERS,
        regimes=ORDINARY,
        bench=BENCH,
        flops=lambda image, kernel, **_: 2 * image.size * kernel.size,
        peers={"scipy": scipy_correlate},
    ),
    Case(
        op="filter2d_backward_image",
        inputs=by_image,
        tolerance=Gamma(_taps, magnitudes.filter2d_backward_image),
        why="A chain of fused multiply-adds, and the sums of what stood outside, stay within their γ bound.",
        grad=IS_A_GRADIENT,
        sizes=SIZES,
        large=(((3, 210, 300), (3, 3)),),
        options=BORDERS,
        regimes=ORDINARY,
        bench=BENCH,
        flops=lambda grad, kernel, **_: 2 * grad.size * kernel.size,
    ),
    Case(
        op="filter2d_backward_kernel",
        inputs=by_kernel,
        tolerance=Gamma(lambda grad, *_, **__: grad.size + 4, magnitudes.filter2d_backward_kernel),
        why="A sum over the image stays within its γ bound.",
        grad=IS_A_GRADIENT,
        sizes=SIZES,
        large=(((3, 210, 300), (3, 3)),),
        options=BORDERS,
        regimes=ORDINARY,
        bench=BENCH,
        flops=lambda grad, image, shape, **_: 2 * grad.size * int(np.prod(shape)),
    ),
]
