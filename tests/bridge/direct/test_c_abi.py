"""The C ABI of odyssey.h: the bits of the Python functions, its statuses, its header, and a program in C that uses it."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from abi_calls import LONG, calls, library, perform

import odyssey as od

HERE = Path(__file__).parent
HEADER = Path(od.get_include(), "odyssey", "operations.h")


def declared() -> set[str]:
    text = HEADER.read_text()
    return set(re.findall(r"ODY_OP\((\w+)\)", text)) - {"name"} | set(
        re.findall(r"^ODY_(?:UN|BIN)ARY\((\w+)\)", text, re.M)
    )


@pytest.mark.parametrize("real", [np.float32, np.float64], ids=["f32", "f64"])
def test_every_function_has_the_bits_of_its_python_namesake(isa, threads, real):
    lib = library()
    assert lib.ody_threads_get() == threads
    seen = set()
    for call in calls(real):
        assert perform(lib, call, real) == 0, call.name
        for found, expected in zip(call.written, call.expected, strict=True):
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes(), f"{call.name} {[np.shape(one) for one in call.arguments]}"
        seen.add(call.name)
    assert seen == declared()


def test_the_instruction_set_and_the_threads_are_one_choice_with_python():
    lib = library()
    lib.ody_isa_active.restype = lib.ody_version.restype = ctypes.c_char_p
    assert lib.ody_version().decode() == od.__version__
    for name in od.isa.available():
        with od.isa.use(name):
            assert lib.ody_isa_active().decode() == name
    before = od.isa.active()
    for name in od.isa.available():
        assert lib.ody_isa_use(name.encode()) == 0
        assert od.isa.active() == name
        assert od.add(np.float32([1]), np.float32([2]))[0] == 3
    assert lib.ody_isa_use(before.encode()) == 0
    assert lib.ody_isa_use(b"abacus") == 7
    assert lib.ody_isa_use(None) == 3
    assert od.isa.active() == before
    with od.threads.limit(1):
        assert lib.ody_threads_set(2) == 0
        assert od.threads.count() == 2
        assert lib.ody_threads_set(0) == 5


OK, DIMENSION, NULL, VALUE, INDEX = 0, 2, 3, 5, 6
X = np.ones(8, np.float32)
HUGE = 1 << 62


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("exp", [None, 3, X], NULL),
        ("exp", [X, 3, None], NULL),
        ("exp", [None, 0, None], OK),
        ("exp", [X, HUGE, X], DIMENSION),
        ("add", [X, None, 3, X], NULL),
        ("softmax", [X, HUGE, 8, X], DIMENSION),
        ("softmax", [None, 0, HUGE, None], OK),
        ("max", [X, 2, 0, X], DIMENSION),
        ("argmax", [None, 0, 0, None], OK),
        ("sum", [None, 2, 0, None], NULL),
        ("dropout", [X, 8, 1.5, 0, 0, X], VALUE),
        ("dropout", [X, 8, float("nan"), 0, 0, X], VALUE),
        ("group_norm", [X, None, None, 1, 8, 1, 3, 1e-5, X], DIMENSION),
        ("group_norm", [X, None, None, 1, 8, 1, 0, 1e-5, X], DIMENSION),
        ("cross_entropy", [X, np.array([4]), None, 1, 4, -100, 0.0, X, None], INDEX),
        ("cross_entropy", [X, np.array([-1]), None, 1, 4, -100, 0.0, X, None], INDEX),
        ("cross_entropy", [X, np.array([0]), None, 1, 4, -100, 1.5, X, None], VALUE),
        ("cross_entropy_backward", [1.0, X, np.array([4]), None, 1, 4, -100, 0.0, X], INDEX),
        ("embedding", [X, np.array([2]), 2, 4, 1, X], INDEX),
        ("embedding", [X, np.array([-1]), 2, 4, 1, X], INDEX),
        ("embedding_backward", [X, np.array([0, 0]), 2, 4, 2, 2, X], INDEX),
        ("rotary_embedding", [X, X, X, 1, 1, 4, 3, 0, X], DIMENSION),
        ("sample", [X, np.zeros(1), 1, 0, 1.0, X], DIMENSION),
        ("sample", [X, np.zeros(1), 1, 8, -1.0, X], VALUE),
        ("sample", [X, np.ones(1), 1, 8, 1.0, X], VALUE),
        ("sample", [np.float32([np.nan, 1]), np.zeros(1), 1, 2, 1.0, np.zeros(1, np.int64)], VALUE),
        ("topk_sample", [X, np.zeros(1), 1, 8, 0, 1.0, X], VALUE),
        ("topp_sample", [X, np.zeros(1), 1, 8, 0.0, 1.0, X], VALUE),
        ("matmul", [X, X, 1, HUGE, 1, 1, 0, 0, 1.0, 0.0, X], DIMENSION),
        ("matmul", [None, X, 1, 2, 2, 2, 0, 0, 1.0, 0.0, X], NULL),
        ("linear", [X, X, None, 1, 2, 2, 6, X], VALUE),
        ("conv2d", [X, X, None, None, X], NULL),
        ("sinkhorn_knopp", [X, 1, 2, 2, 0, 1e-6, 1.0, 1, X], VALUE),
        ("sinkhorn_knopp", [X, 1, 2, 2, 3, 1e-6, 0.0, 1, X], VALUE),
        ("poincare_distance", [X, X, 1, 8, 1.0, np.zeros(1, np.float32)], VALUE),
        ("poincare_distance", [X, X, 1, 8, 0.0, np.zeros(1, np.float32)], VALUE),
        ("spherical_distance", [np.zeros(8, np.float32), X, 1, 8, np.zeros(1, np.float32)], VALUE),
        ("poincare_pairwise", [X, None, 1, 1, 8, 1.0, np.zeros(1, np.float32)], VALUE),
        ("spherical_pairwise", [np.zeros(8, np.float32), None, 1, 1, 8, np.zeros(1, np.float32)], VALUE),
        ("euclidean_pairwise", [X, None, 2, 1, 4, np.zeros(2, np.float32)], NULL),
        ("mobius_add", [X, X, 1, 8, 1.0, np.zeros(8, np.float32)], VALUE),
        ("project_to_ball", [X, 1, 8, 1.0, 1.0, np.zeros(8, np.float32)], VALUE),
        ("sgd_step", [X, X, None, 8, 0.1, 0.9, 0.0, 0.0, 0, 0], NULL),
        ("adam_step", [X, X, X, X, 8, 0, 0.1, 0.9, 0.99, 1e-8, 0.0], VALUE),
        ("adam_step", [X, X, X, X, 8, 1, 0.1, 1.0, 0.99, 1e-8, 0.0], VALUE),
        ("rmsprop_step", [X, X, X, None, None, 8, 0.1, 1.5, 1e-8, 0.0, 0.0], VALUE),
        ("adagrad_step", [X, X, X, 8, 0, 0.1, 0.0, 1e-8, 0.0], VALUE),
        ("clip_grad_norm", [None, None, 2, 1.0, 1e-6, None], NULL),
        ("clip_grad_norm", [None, None, 0, -1.0, 1e-6, None], VALUE),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_status_and_nothing_is_written(name, arguments, status):
    from abi_calls import Call

    arguments = [one.copy() if isinstance(one, np.ndarray) else one for one in arguments]
    before = X.copy()
    assert perform(library(), Call(name, arguments, [], []), np.float32) == status
    assert (before == X).all()


def test_sizes_of_images_are_checked():
    from abi_calls import AttentionShape, Call, Conv2d, Pool2d

    lib = library()

    def status(name, *arguments):
        return perform(lib, Call(name, list(arguments), [], []), np.float32)

    ones = ["batch", "stride_y", "stride_x", "dilation_y", "dilation_x", "groups"]
    good = dict.fromkeys(ones, 1) | {"channels": 2, "height": 4, "width": 4, "outputs": 2, "kernel_h": 3, "kernel_w": 3}
    x = np.ones(64, np.float32)
    for change in (
        {"kernel_h": 5},
        {"kernel_w": 0},
        {"stride_y": 0},
        {"groups": 0},
        {"groups": 3},
        {"padding_y": 1 << 40},
    ):
        assert status("conv2d", x, x, None, Conv2d(**(good | change)), x) == DIMENSION
        assert status("conv2d_backward_input", x, x, Conv2d(**(good | change)), x) == DIMENSION
        assert status("conv2d_backward_weight", x, x, Conv2d(**(good | change)), x) == DIMENSION
    assert status("conv2d", x, x, None, Conv2d(**good, activation=9), x) == VALUE
    assert status("conv2d", x, None, None, Conv2d(**good), x) == NULL
    for change in ((1, 4, 4, 5, 1, 1, 1, 0, 0), (1, 4, 4, 2, 2, 1, 1, 2, 0), (1, 0, 4, 1, 1, 1, 1, 0, 0)):
        assert status("max_pool2d", x, Pool2d(*change), x) == DIMENSION
        assert status("avg_pool2d_backward", x, Pool2d(*change), x) == DIMENSION
    assert status("max_pool2d", None, Pool2d(1, 4, 4, 2, 2, 2, 2, 0, 0), x) == NULL
    assert status("global_avg_pool2d", x, 1, 0, 4, x) == DIMENSION
    assert status("attention", x, x, x, None, AttentionShape(1, 3, 2, 1, 1, 1, 1), x) == DIMENSION
    assert status("attention", x, None, x, None, AttentionShape(1, 2, 2, 1, 1, 1, 1), x) == NULL
    height, width = ctypes.c_size_t(), ctypes.c_size_t()
    assert lib.ody_conv2d_size(ctypes.byref(Conv2d(**good)), ctypes.byref(height), ctypes.byref(width)) == OK
    assert (height.value, width.value) == (2, 2)
    assert lib.ody_conv2d_size(None, None, None) == NULL
    assert lib.ody_pool2d_size(None, None, None) == NULL


def test_every_status_has_a_text():
    lib = library()
    lib.ody_status_text.restype = ctypes.c_char_p
    texts = [lib.ody_status_text(code).decode() for code in range(8)]
    assert len(set(texts)) == 8
    assert texts[0] == "success"
    assert lib.ody_status_text(99) == b"unknown status"


def test_calls_from_many_threads_at_once_have_the_same_bits():
    from concurrent.futures import ThreadPoolExecutor

    lib = library()
    x = np.random.default_rng(0).standard_normal((4, LONG)).astype(np.float32)
    expected = od.softmax(x)

    def one(_):
        out = np.empty_like(x)
        lib.ody_softmax_f32(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(4), ctypes.c_size_t(LONG), ctypes.c_void_p(out.ctypes.data)
        )
        return out.tobytes() == expected.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(12)))


# ---- without Python -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiler():
    found = shutil.which("cc")
    if found is None:
        pytest.skip("needs a C compiler, cc")
    return found


def test_the_library_refers_to_no_symbol_of_python():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm, of binutils")
    undefined = subprocess.run(
        [nm, "-D", "--undefined-only", od.library_path()], check=True, capture_output=True, text=True
    ).stdout
    assert not re.findall(r"\b_?Py\w+", undefined)
    defined = subprocess.run(
        [nm, "-D", "--defined-only", od.library_path()], check=True, capture_output=True, text=True
    ).stdout
    names = {line.split()[-1] for line in defined.splitlines()}
    visible = set()
    for header in ("odyssey.h", "runtime.h"):
        visible |= set(re.findall(r"\b(ody_\w+)(?:\(|;)", Path(od.get_include(), "odyssey", header).read_text()))
    operations = {f"ody_{name}_{suffix}" for name in declared() for suffix in ("f32", "f64")}
    assert operations <= names
    assert names - visible - operations <= {"_init", "_fini", "__bss_start", "_edata", "_end"}


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_compiles_alone(compiler, language, tmp_path):
    source = tmp_path / f"use.{'c' if language == 'c' else 'cpp'}"
    source.write_text("#include <odyssey/odyssey.h>\nint main(void) { return ody_exp_f32(NULL, 0, NULL); }\n")
    driver = compiler if language == "c" else shutil.which("c++")
    if driver is None:
        pytest.skip("needs a C++ compiler, c++")
    standard = "-std=c11" if language == "c" else "-std=c++11"
    command = [driver, standard, "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{od.get_include()}", "-fsyntax-only"]
    subprocess.run([*command, str(source)], check=True)


def test_a_c_program_gets_the_bits_of_python_on_every_instruction_set(compiler, tmp_path):
    program = tmp_path / "use"
    folder = str(Path(od.library_path()).parent)
    command = [
        compiler,
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{od.get_include()}",
        str(HERE / "use_odyssey.c"),
    ]
    subprocess.run([*command, od.library_path(), f"-Wl,-rpath,{folder}", "-lm", "-o", str(program)], check=True)
    x = (np.arange(21, dtype=np.float32) / 8 - 1).reshape(3, 7)
    hidden = od.linear(x, x[:2] * 2, None, "gelu")
    expected = od.softmax(hidden).tobytes().hex()
    for isa in od.isa.available():
        run = subprocess.run([program, isa], check=True, capture_output=True, text=True)
        assert run.stdout.strip() == expected, isa
    assert subprocess.run([program, "abacus"], capture_output=True, text=True).returncode == 7


def test_ctypes_alone_can_use_the_library_without_importing_odyssey():
    script = f"""
import ctypes, sys
lib = ctypes.CDLL({od.library_path()!r})
x, y = (ctypes.c_float * 3)(1, 2, 3), (ctypes.c_float * 3)()
assert lib.ody_scale_f32(x, ctypes.c_size_t(3), ctypes.c_double(2), y) == 0
assert list(y) == [2, 4, 6]
assert "odyssey" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
