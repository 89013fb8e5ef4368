"""Calls through registers against cffi's: functions of random signatures that note what they got, bit for bit."""

import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_compiler import compiled

from odyssey._kernels import crossing
from odyssey.bridge.direct import NativeLibrary, read

pytestmark = pytest.mark.skipif(not crossing.REGISTERS[0], reason="on this machine cffi makes every call")

FUNCTIONS = 120
INTEGERS = {"int8_t": (-(1 << 7), (1 << 7) - 1), "uint8_t": (0, (1 << 8) - 1), "int16_t": (-(1 << 15), (1 << 15) - 1),
            "uint16_t": (0, (1 << 16) - 1), "int": (-(1 << 31), (1 << 31) - 1), "unsigned": (0, (1 << 32) - 1),
            "int64_t": (-(1 << 63), (1 << 63) - 1), "uint64_t": (0, (1 << 64) - 1), "size_t": (0, (1 << 64) - 1)}  # fmt: skip
REALS = {"float": [0.0, -0.0, 1.5, float("inf"), float("nan"), 1e-45, 3e38, -2.75], "double": [0.0, -0.0, 1e300, float("-inf"), float("nan"), 5e-324, -0.1]}  # fmt: skip
TYPES = [*INTEGERS, *REALS, "bool", "const double *", "void *"]
HEADER = """
typedef struct note { int64_t wide; double real; uint8_t bytes[8]; } note;
extern note notes[40];
"""


def source(signatures: list[tuple[str, list[str]]]) -> str:
    """Each function notes its arguments: widened, which shows the signs, and byte for byte; and returns a mixture."""
    lines = [
        "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>",
        HEADER.replace("extern ", ""),
    ]
    for number, (result, arguments) in enumerate(signatures):
        named = ", ".join(f"{kind} a{place}" for place, kind in enumerate(arguments)) or "void"
        body = ["int64_t mix = 1; (void)mix;"]
        for place, kind in enumerate(arguments):
            note = f"notes[{place}]"
            if kind in REALS:
                body.append(f"{note}.real = (double)a{place};")
            else:
                body.append(
                    f"{note}.wide = (int64_t){'(intptr_t)' if '*' in kind else ''}a{place}; mix = (int64_t)((uint64_t)mix * 31 + (uint64_t){note}.wide);"
                )
            body.append(f"memcpy({note}.bytes, &a{place}, sizeof a{place});")
        if result == "void":
            pass
        elif result in REALS:
            reals = [f"(double)a{place}" for place, kind in enumerate(arguments) if kind in REALS]
            body.append(f"return ({result})({reals[-1] if reals else '(double)mix'});")
        elif result == "bool":
            body.append("return mix & 4;")
        else:
            body.append(f"return ({result})(uint64_t)mix;")
        lines.append(f"{result} f{number}({named}) {{ {' '.join(body)} }}")
    return "\n".join(lines)


def signatures() -> list[tuple[str, list[str]]]:
    draw = random.Random(20261121)
    results = [*INTEGERS, *REALS, "bool", "void"]
    made = [(result, [kind]) for result in results for kind in ("int64_t", "float")]
    made += [("int", []), ("double", ["double"] * 8), ("float", ["float"] * 14), ("int64_t", ["int8_t"] * 15)]
    while len(made) < FUNCTIONS:
        count = draw.choice([2, 3, 5, 7, 9, 12, 16])
        made.append((draw.choice(results), [draw.choice(TYPES) for _ in range(count)]))
    return made


@pytest.fixture(scope="module", params=["cc", "clang"])
def library(request, tmp_path_factory):
    if request.param == "clang" and shutil.which("clang") is None:
        pytest.skip("needs clang, whose functions lean on the caller's sign extension")
    folder = tmp_path_factory.mktemp("registers")
    file = folder / "echo.c"
    file.write_text(source(signatures()))
    built = compiled(file, folder / "libecho.so", "-Wno-unused", compiler=request.param)
    lines = [HEADER]
    lines += [
        f"{result} f{number}({', '.join(arguments) or 'void'});"
        for number, (result, arguments) in enumerate(signatures())
    ]
    return NativeLibrary(built, "\n".join(lines))


def values(draw: random.Random, kinds: list[str], block: np.ndarray) -> list[object]:
    found: list[object] = []
    for kind in kinds:
        if kind in INTEGERS:
            low, high = INTEGERS[kind]
            found.append(draw.choice([low, high, 0, 1, max(low, -1), draw.randint(low, high)]))
        elif kind in REALS:
            found.append(draw.choice(REALS[kind]))
        else:
            found.append(draw.random() < 0.5 if kind == "bool" else block[draw.randrange(10) :])
    return found


def as_cffi(ffi, kind: str, value: object) -> object:
    return ffi.cast(kind, value.ctypes.data) if isinstance(value, np.ndarray) else value


def bits(value: object) -> object:
    return np.float64(value).tobytes() if isinstance(value, float) else value


def test_random_signatures_get_what_cffi_gives_them(library):
    draw = random.Random(7)
    block = np.zeros(20)
    ffi, notes = library.ffi, library.lib.notes
    fast = 0
    for number, (_, kinds) in enumerate(signatures()):
        function, plain = getattr(library, f"f{number}"), getattr(library.lib, f"f{number}")
        fast += isinstance(function.__self__ if hasattr(function, "__self__") else None, crossing.Function)
        for _ in range(12):
            given = values(draw, kinds, block)
            ffi.memmove(notes, bytes(ffi.sizeof(notes)), ffi.sizeof(notes))
            expected = plain(*[as_cffi(ffi, kind, value) for kind, value in zip(kinds, given, strict=True)])
            wanted = bytes(ffi.buffer(notes))
            ffi.memmove(notes, bytes(ffi.sizeof(notes)), ffi.sizeof(notes))
            found = function(*given)
            assert bytes(ffi.buffer(notes)) == wanted, (signatures()[number], given)
            assert bits(found) == bits(expected), (signatures()[number], given)
            assert type(found) is type(expected)
    assert fast > FUNCTIONS * 0.8, "hardly any function went through registers"


def test_arguments_find_their_places_as_the_convention_says():
    many = read("double f(int a, double b, float c, long d, int e, int f, int g, int h, int i, char *j);").functions[
        "f"
    ]
    assert many.places((6, 8, 12)) == [0, 8, 9, 1, 2, 3, 4, 5, 16, 17]
    assert many.places((8, 8, 0)) == [0, 8, 9, 1, 2, 3, 4, 5, 6, 7]
    assert many.places((6, 8, 1)) is None
    assert many.places((0, 0, 0)) is None
    nine = read(f"double f({', '.join(['double'] * 10)});").functions["f"]
    assert nine.places((6, 8, 12)) == [*range(8, 16), 16, 17]
    for text in (
        "int f(int, ...);",
        "struct p {int x;}; int f(struct p q);",
        "float _Complex f(int);",
        "int f(long double);",
        "int f(char c);",
    ):
        assert next(iter(read(text).functions.values())).places() is None


SOURCE = Path(__file__).parents[3] / "odyssey" / "_kernels" / "crossing.pyx"


@pytest.mark.source
@pytest.mark.skipif(not SOURCE.exists(), reason="the source is not beside the tests")
@pytest.mark.parametrize(("compiler", "runner"), [("cc", None), ("aarch64-linux-gnu-gcc", "qemu-aarch64")])
def test_the_call_itself_keeps_to_each_machines_convention(compiler, runner, tmp_path):
    tools = [shutil.which(one) for one in (compiler, runner) if one]
    if None in tools:
        pytest.skip(f"needs {compiler}{f' and {runner}' if runner else ''}")
    text = re.search(r'cdef extern from \*:\n    """\n(.*?)    /\* Whether an int', SOURCE.read_text(), re.S)
    (tmp_path / "crossing_call.h").write_text(text.group(1).replace("\\\\\n", "\\\n"))
    program = tmp_path / "places"
    command = [tools[0], "-std=c11", "-O2", "-static", f"-I{tmp_path}", str(Path(__file__).with_name("places.c"))]
    subprocess.run([*command, "-o", str(program)], check=True)
    subprocess.run([*tools[1:], str(program)], check=True)
