"""odyssey: SIMD kernels over your own NumPy arrays, and the neural networks on top of them.

The functions here take arrays and return arrays; `odyssey.nn.functional` holds the same over tensors with gradients,
and `odyssey.reference` their definitions in plain NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from odyssey import isa, threads
from odyssey._kernels.elementwise import add, exp
from odyssey._kernels.linear import linear, matmul
from odyssey.config import get_include, show_config

if TYPE_CHECKING:
    from odyssey import config, errors, memory, reference, testing

# Loaded when first asked for: `import odyssey` brings the kernels alone.
_LAZY_MODULES = ("config", "errors", "memory", "reference", "testing")
_LAZY_NAMES: dict[str, str] = {}

__all__ = ["add", "exp", "get_include", "isa", "linear", "matmul", "show_config", "threads", *_LAZY_MODULES, *_LAZY_NAMES]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"odyssey.{name}")
    if name in _LAZY_NAMES:
        value = getattr(import_module(_LAZY_NAMES[name]), name)
        globals()[name] = value
        return value
    if name == "__version__":
        return import_module("odyssey.config").build_info()["version"]
    raise AttributeError(f"module 'odyssey' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
