"""Pattern 1: calls into native code, an array's pointer and nothing copied.

    library = NativeLibrary("mylib", "int scale(size_t n, const float x[n], float by, float out[n]);")
    library.scale(x.size, x, 2.0, out)

`NativeLibrary` calls anyone's C library; `library_path` says where ours is, for other languages.
"""

from odyssey.bridge.direct.declarations import read
from odyssey.bridge.direct.library import MissingSymbolError, NativeLibrary
from odyssey.bridge.direct.status import ODYSSEY, InvalidValueError, Status

__all__ = ["ODYSSEY", "InvalidValueError", "MissingSymbolError", "NativeLibrary", "Status", "read"]
