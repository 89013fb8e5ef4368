"""Pattern 1: calls into native code, an array's pointer and nothing copied.

    library = NativeLibrary("mylib", "int scale(size_t n, const float x[n], float by, float out[n]);")
    library.scale(x.size, x, 2.0, out)

`NativeLibrary` calls anyone's C library, `batched` calls a function many times in one crossing. The other direction is
`odyssey.library_path()` with `odyssey/odyssey.h`: our kernels, for other languages.
"""

from odyssey.bridge.direct.batch import Batch, batched, prepare
from odyssey.bridge.direct.declarations import read
from odyssey.bridge.direct.library import MissingSymbolError, NativeLibrary
from odyssey.bridge.direct.status import ODYSSEY, InvalidValueError, Status

__all__ = [
    "ODYSSEY",
    "Batch",
    "InvalidValueError",
    "MissingSymbolError",
    "NativeLibrary",
    "Status",
    "batched",
    "prepare",
    "read",
]
