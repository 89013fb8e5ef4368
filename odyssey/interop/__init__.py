"""Other frameworks: gradients that cross from their tape to odyssey's and back, over the same memory.

`odyssey.interop.torch` is for PyTorch. Nothing is imported before it is asked for.
"""

from importlib import import_module
from typing import Any

__all__ = ["torch"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"odyssey.interop.{name}")
    raise AttributeError(f"module 'odyssey.interop' has no attribute {name!r}")
