"""Names for fixed shapes that one meets again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey._kernels.typed import FixedTensor

__all__ = ["BatchNormParams", "Kernel3x3", "SobelX", "SobelY"]

if TYPE_CHECKING:

    class Kernel3x3(FixedTensor):
        """`FixedTensor[3, 3]`."""
else:
    Kernel3x3 = FixedTensor[3, 3]


class _Constant(Kernel3x3):
    """A kernel whose values its class knows: read-only."""

    __slots__ = ()
    VALUES: tuple[tuple[int, ...], ...] = ()

    def __init__(self) -> None:
        super().__init__(self.VALUES)
        self.freeze()

    def __reduce__(self) -> Any:
        return type(self), ()


class SobelX(_Constant):
    """Sobel's derivative along x, from left to right, of eight times the slope; as `scipy.ndimage.sobel(image, -1)`.

    >>> import numpy as np, odyssey as od
    >>> od.filter2d(np.float32([[0, 1, 3]]), od.SobelX())
    array([[ 4., 12.,  8.]], dtype=float32)
    """

    __slots__ = ()
    VALUES = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


class SobelY(_Constant):
    """Sobel's derivative along y, downwards; as `scipy.ndimage.sobel(image, -2)`.

    >>> import numpy as np, odyssey as od
    >>> od.filter2d(np.float32([[0], [1], [3]]), od.SobelY()).ravel()
    array([ 4., 12.,  8.], dtype=float32)
    """

    __slots__ = ()
    VALUES = ((-1, -2, -1), (0, 0, 0), (1, 2, 1))


class BatchNormParams(FixedTensor):
    """What batch normalisation keeps for C channels, in one piece of memory: `BatchNormParams[C]`, a tensor (4, C).

    Its rows are `weight`, `bias`, `running_mean` and `running_var`: views, which start as 1, 0, 0 and 1.

    >>> import numpy as np, odyssey as od
    >>> params = od.BatchNormParams[2]()
    >>> params.weight[...] = 3
    >>> x = np.float32([[1, 2]])
    >>> od.batch_norm(x, params.running_mean, params.running_var, params.weight, params.bias, eps=0)
    array([[3., 6.]], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, values: Any = None) -> None:
        super().__init__(np.zeros(self.shape, self.dtype) if values is None else values)
        if values is None:
            self[0] = self[3] = 1.0

    def __class_getitem__(cls, key: Any) -> Any:
        dtype, channels = key if isinstance(key, tuple) else (np.float32, key)
        return super().__class_getitem__((dtype, 4, channels))

    @property
    def weight(self) -> Any:
        """(C,): what a normalised channel is multiplied by."""
        return self[0]

    @property
    def bias(self) -> Any:
        """(C,): what is then added."""
        return self[1]

    @property
    def running_mean(self) -> Any:
        """(C,)."""
        return self[2]

    @property
    def running_var(self) -> Any:
        """(C,)."""
        return self[3]
