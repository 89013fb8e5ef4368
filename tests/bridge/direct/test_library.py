"""NativeLibrary: arrays reach C as they are or not at all, and statuses come back as exceptions."""

import array
import inspect
import subprocess
import sys
import threading

import numpy as np
import pytest

import odyssey as od
from odyssey.bridge.direct import InvalidValueError, MissingSymbolError, NativeLibrary, Status
from odyssey.bridge.direct.declarations import Declared
from odyssey.errors import DeviceError, DTypeError, FormatError, KernelError, LayoutError, ShapeError

DECLARATIONS = """
#define MOST 1000
enum color { RED, GREEN = 7 };
typedef int status;
typedef struct box box;
struct point { double x, y; };
extern int counter;

status scale(size_t n, const float x[n], float by, float out[n]);
const char *error_text(int code);
double sum(const double *x, size_t n);
double trace(size_t rows, size_t columns, const double x[rows * columns]);
int is_null(const float *_Nullable x);
uint64_t bytes_of(const void *x, size_t n);
void fill(void *x, int byte, size_t n);
uint16_t first_half(const uint16_t *x);
size_t length(const char *text);
void shout(char text[n], size_t n);
const char *greeting(int which);
bool both(bool a, bool b);
enum color mixed(enum color a, enum color b);
int64_t last_of_many(int a, int b, int c, int d, int e, int f, int g, int8_t h, float x, uint16_t i, double y, int64_t j);
double last_of_reals(double a, double b, double c, double d, double e, double f, double g, double h, double i, float j);
double norm1(struct point p);
struct point swapped(struct point p);
double distance(const struct point *p);
int total(int count, ...);
int apply(int (*f)(int), int x);
int apply_all(int (*f)(int), const int x[n], size_t n);
double norm2(const float _Complex *z);
box *box_open(int which);
double box_value(const box *b);
int maybe(int (*_Nullable f)(int), int x);
int meet(void);
"""
TABLE = {0: Status.SUCCESS, 2: Status.OUT_OF_MEMORY, 3: Status.INVALID_VALUE, 4: Status.NOT_AVAILABLE}


@pytest.fixture(scope="module", params=["registers", "cffi"])
def lib(request, library_file):
    """The same library, called by either way across."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "cffi":
            patch.setattr(Declared, "places", lambda self: None)
        return NativeLibrary(
            library_file, DECLARATIONS, status={"status": TABLE}, explain="error_text", keep_gil={"sum"}
        )


X = np.arange(6, dtype=np.float32)


def test_arrays_are_passed_where_they_lie(lib):
    out = np.empty(6, np.float32)
    assert lib.scale(6, X, 2.0, out) is None
    assert out.tolist() == [0, 2, 4, 6, 8, 10]
    assert lib.scale(3, X, 3, out[3:]) is None
    assert out.tolist() == [0, 2, 4, 0, 3, 6]
    assert lib.scale(n=6, x=X, by=0.5, out=out) is None
    assert lib.scale(6, X, out=out, by=np.float32(0.25)) is None
    assert out[5] == 1.25


def test_anything_with_a_buffer_is_adopted_without_a_copy(lib):
    out = array.array("f", [0] * 6)
    lib.scale(6, memoryview(X), 2.0, out)
    assert out.tolist() == [0, 2, 4, 6, 8, 10]

    class Dlpack:
        def __init__(self, wrapped):
            self.wrapped = wrapped

        def __dlpack__(self, **options):
            return self.wrapped.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.wrapped.__dlpack_device__()

    class Interface:
        def __init__(self, wrapped):
            self.wrapped = wrapped
            self.__array_interface__ = wrapped.__array_interface__

    target = np.zeros(6, np.float32)
    lib.scale(6, Dlpack(X), 3.0, Interface(target))
    assert target[5] == 15
    from odyssey.tensor import Tensor

    lib.scale(6, Tensor(X), 2.0, target)
    assert target[5] == 10
    with pytest.raises(DTypeError, match=r"records gradients[\s\S]*x\.data"):
        lib.scale(6, Tensor(X, requires_grad=True), 2.0, target)

    class Copies:
        def __array__(self, dtype=None, copy=None):
            if copy is False:
                raise ValueError("always a copy")
            return X.copy()

    with pytest.raises(DTypeError, match="without a copy"):
        lib.scale(6, Copies(), 2.0, target)


def frozen():
    x = X.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((6, X.astype(float), 2.0, X), DTypeError, r"scale: x: expected float32, found float64[\s\S]*x\.astype\(numpy\.float32\)"),
        ((6, X.astype(">f4"), 2.0, X), DTypeError, "byte order"),
        ((3, X[::2], 2.0, X), LayoutError, r"adjacent elements[\s\S]*ascontiguousarray\(x\)"),
        ((6, X, 2.0, frozen()), LayoutError, r"out: expected an array that can be written to"),
        ((7, X, 2.0, X.copy()), ShapeError, r"x must have at least 7 elements \(n with n = 7\), found 6"),
        ((6, X, 2.0, X[:5].copy()), ShapeError, "out must have at least 6 elements"),
        ((-1, X, 2.0, X), OverflowError, "n: expected a uint64"),
        ((6.0, X, 2.0, X), DTypeError, "n: expected an integer"),
        ((True, X, 2.0, X), DTypeError, "n: expected an integer"),
        ((6, X, "2", X), DTypeError, "by: expected a number"),
        ((6, X, 1e39, X), OverflowError, "by: expected a number that float32 can hold"),
        ((6, X, np.float64(2), X), DTypeError, "by: expected float32"),
        ((6, None, 2.0, X), DTypeError, r"found None[\s\S]*const float \*_Nullable x"),
        ((6, [1.0], 2.0, X), DTypeError, "found list"),
        ((6, X, 2.0), TypeError, r"expected 4 arguments \(n, x, by, out\), found 3"),
        ((6, X, 2.0, X, 1), TypeError, "found 5"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained_before_the_call(lib, arguments, error, said):
    with pytest.raises(error, match=said):
        lib.scale(*arguments)
    assert X.tolist() == [0, 1, 2, 3, 4, 5]


def test_float32_numbers_keep_infinities_and_nan(lib):
    out = np.empty(1, np.float32)
    lib.scale(1, np.ones(1, np.float32), float("inf"), out)
    assert np.isinf(out[0])
    lib.scale(1, np.ones(1, np.float32), float("nan"), out)
    assert np.isnan(out[0])


def test_a_misaligned_array_is_refused(lib):
    x = np.zeros(25, np.uint8)[1:].view(np.float32)
    with pytest.raises(LayoutError, match=r"aligned[\s\S]*x\.copy\(\)"):
        lib.scale(6, x, 2.0, X)


def test_calls_by_name_are_checked(lib):
    with pytest.raises(TypeError, match="found 'm'"):
        lib.scale(6, X, 2.0, m=X)
    with pytest.raises(TypeError, match="each once; found 'n'"):
        lib.scale(6, X, 2.0, n=6)
    with pytest.raises(TypeError, match=r"found 3|expected out"):
        lib.scale(6, X, by=2.0)
    assert lib.scale.__name__ == "scale"
    assert "const float x[n]" in lib.scale.__doc__
    if hasattr(lib.scale, "__self__"):
        assert str(inspect.signature(lib.scale)) == "(n, x, by, out)"


def test_statuses_are_exceptions_with_the_librarys_words(lib):
    big = np.ones(1001, np.float32)
    with pytest.raises(MemoryError, match=r"libnative\.so: scale: too many elements \(status 2\)") as caught:
        lib.scale(1001, big, 2.0, big)
    assert caught.value.status == 2
    with pytest.raises(InvalidValueError, match="nothing would be left") as caught:
        lib.scale(6, X, 0.0, X)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, KernelError)
    assert caught.value.status == 3
    with pytest.raises(KernelError, match="table does not have") as caught:
        lib.scale(13, big, 2.0, big)
    assert caught.value.status == 77


def test_without_a_table_a_status_is_a_number(library_file):
    lib = NativeLibrary(library_file, "int scale(size_t n, const float *x, float by, float *out);")
    assert lib.scale(6, X, 0.0, X) == 3
    named = NativeLibrary(
        library_file,
        "int scale(size_t n, const float *x, float by, float *out);",
        status={"scale": {3: Status.SUCCESS, 0: Status.NOT_AVAILABLE}},
    )
    assert named.scale(6, X, 0.0, X) is None


def test_every_meaning_has_its_exception():
    from odyssey.bridge.direct.status import exception

    found = {meaning: exception("f", 1, {1: meaning}) for meaning in Status}
    assert found.pop(Status.SUCCESS) is None
    classes = {
        Status.NOT_AVAILABLE: DeviceError, Status.INVALID_VALUE: ValueError, Status.INVALID_SIZE: ShapeError,
        Status.INVALID_INDEX: IndexError, Status.NULL_POINTER: LayoutError, Status.LAUNCH_FAILED: KernelError,
        Status.FAILED: KernelError, Status.OUT_OF_MEMORY: MemoryError,
    }  # fmt: skip
    assert found.keys() == classes.keys()
    for meaning, error in found.items():
        assert isinstance(error, classes[meaning])
        assert error.status == 1
        assert meaning.value in str(error)


def test_null_only_where_the_declaration_allows_it(lib):
    assert lib.is_null(None) == 1
    assert lib.is_null(X) == 0


def test_void_pointers_take_any_array_and_half_numbers_travel_as_their_bits(lib):
    assert lib.bytes_of(np.array([1, 256], np.int32), 8) == 2
    assert lib.bytes_of(b"\x01\x02", 2) == 3
    target = bytearray(4)
    lib.fill(target, 7, 4)
    assert target == b"\x07\x07\x07\x07"
    with pytest.raises(LayoutError, match="written to"):
        lib.fill(b"1234", 7, 4)
    assert lib.first_half(np.array([1.0], np.float16)) == 0x3C00
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert lib.first_half(np.array([1.0], ml_dtypes.bfloat16)) == 0x3F80
    with pytest.raises(DTypeError, match="expected uint16, found int16"):
        lib.first_half(np.array([1], np.int16))


def test_text_goes_as_utf8_and_comes_back_as_str(lib):
    assert lib.length("grüß") == 6
    assert lib.length(b"abc") == 3
    with pytest.raises(ValueError, match="zero byte"):
        lib.length("a\0b")
    with pytest.raises(DTypeError, match="expected a str or bytes, found int"):
        lib.length(3)
    with pytest.raises(DTypeError, match="expected a str or bytes, found None"):
        lib.length(None)
    assert [lib.greeting(which) for which in range(3)] == ["hello", "grüß", None]
    text = bytearray(b"quiet")
    lib.shout(text, 5)
    assert text == b"QUIET"
    letters = np.frombuffer(b"quiet", "S1").copy()
    lib.shout(letters, 5)
    assert letters.tobytes() == b"QUIET"
    with pytest.raises(LayoutError, match="bytearray"):
        lib.shout("quiet", 5)
    with pytest.raises(ShapeError, match="at least 6 elements"):
        lib.shout(text, 6)
    with pytest.raises(DTypeError, match="bytearray"):
        lib.shout(X, 2)


def test_numbers_of_every_kind(lib):
    assert lib.both(True, True) is True
    assert lib.both(True, False) is False
    assert lib.both(np.True_, True) is True
    with pytest.raises(DTypeError, match="expected a bool"):
        lib.both(1, True)
    assert (lib.RED, lib.GREEN, lib.MOST) == (0, 7, 1000)
    assert lib.mixed(lib.RED, lib.RED) == 0
    assert lib.mixed(lib.RED, lib.GREEN) == 7
    assert lib.last_of_many(1, 2, 3, 4, 5, 6, 7, -8, 9.0, 65535, -10.0, -(1 << 40)) == 65554 - (1 << 40)
    assert lib.last_of_reals(1, 1, 1, 1, 1, 1, 1, 1, 2.0, 0.5) == 78
    with pytest.raises(OverflowError, match=r"h: expected a int8, -128 to 127, found 128|h: expected an? int8"):
        lib.last_of_many(1, 2, 3, 4, 5, 6, 7, 128, 9.0, 0, 0.0, 0)
    assert lib.sum(np.ones(3), 3) == 3
    assert lib.trace(2, 2, np.eye(2)) == 2
    with pytest.raises(ShapeError, match=r"rows \* columns with rows = 3, columns = 2"):
        lib.trace(3, 2, np.eye(2))
    with pytest.raises(ShapeError, match="negative or too large"):
        lib.trace(1 << 40, 1 << 40, np.eye(2))


def test_complex_arrays_are_arrays(lib):
    assert lib.norm2(np.array([3 + 4j], np.complex64)) == 25
    with pytest.raises(DTypeError, match="expected complex64, found complex128"):
        lib.norm2(np.array([3 + 4j]))


def test_handles_are_what_functions_return(lib):
    box = lib.box_open(0)
    assert lib.box_value(box) == 42
    assert lib.box_open(1) is None
    with pytest.raises(DTypeError, match="box"):
        lib.box_value(X)
    with pytest.raises(DTypeError, match="found double"):
        lib.box_value(lib.ffi.new("double *"))
    with pytest.raises(DTypeError, match="found NULL"):
        lib.box_value(lib.ffi.cast("box *", 0))
    numbers = lib.ffi.new("double[3]", [1, 2, 3])
    assert lib.sum(numbers, 3) == 6


def test_what_needs_cffi_is_called_by_cffi(lib):
    assert lib.norm1({"x": 1, "y": 2}) == 3
    assert lib.swapped([1, 2]).x == 2
    assert lib.distance(lib.ffi.new("struct point *", [5, 3])) == 2
    assert lib.total(2, lib.ffi.cast("int", 4), lib.ffi.cast("int", 5)) == 9
    assert lib.apply(lambda x: x + 1, 4) == 5
    assert lib.apply_all(lambda x: x * x, np.arange(4, dtype=np.int32), 4) == 14
    held = lib.ffi.callback("int(int)", lambda x: -x)
    assert lib.apply(held, 4) == -4
    assert lib.apply(x=4, f=lambda x: x) == 4
    with pytest.raises(ZeroDivisionError):
        lib.apply(lambda x: x // 0, 4)
    with pytest.raises(ShapeError, match="at least 5 elements"):
        lib.apply_all(lambda x: x, np.arange(4, dtype=np.int32), 5)
    with pytest.raises(DTypeError, match="expected int32"):
        lib.apply_all(lambda x: x, np.arange(4), 4)
    with pytest.raises(TypeError, match="found 1"):
        lib.apply(4)
    with pytest.raises(TypeError, match="found 'y'"):
        lib.apply(lambda x: x, y=4)
    with pytest.raises(TypeError, match="expected x"):
        lib.apply(f=lambda x: x)
    assert lib.apply.__doc__ == "int apply(int (*f)(int), int x)"


def test_the_gil_is_free_during_a_call(lib):
    """Two threads of which neither gets past before the other has come: with the GIL held none would."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(lib.meet()), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [0, 1]


def test_global_variables_are_cffis(lib):
    assert lib.lib.counter == 3
    assert "functions" in repr(lib)
    assert lib.path.endswith("libnative.so")


def test_a_function_outlives_its_library_object(library_file):
    sum_ = NativeLibrary(library_file, "double sum(const double *x, size_t n);").sum
    import gc

    gc.collect()
    assert sum_(np.ones(2), 2) == 2


def test_what_a_library_lacks_or_nobody_declared_is_named(library_file):
    with pytest.raises(MissingSymbolError, match=r"lacks nothing_like_it, nor_this"):
        NativeLibrary(library_file, "int nothing_like_it(void); int nor_this(void);")
    with pytest.raises(MissingSymbolError, match=r"keep_gil: .* found add"):
        NativeLibrary(library_file, "int is_null(const float *x);", keep_gil=["add"])
    with pytest.raises(MissingSymbolError, match=r"explain: .* found text"):
        NativeLibrary(library_file, "int is_null(const float *x);", explain="text")
    with pytest.raises(MissingSymbolError, match=r"status: .* found status"):
        NativeLibrary(library_file, "int is_null(const float *x);", status={"status": TABLE})
    with pytest.raises(MissingSymbolError, match="return an integer"):
        NativeLibrary(library_file, "double sum(const double *x, size_t n);", status={"double": TABLE})
    with pytest.raises(FormatError, match="path"):
        NativeLibrary(library_file, "int path(void);")
    lib = NativeLibrary(library_file, "int is_null(const float *x);", keep_gil=True)
    assert lib.is_null(X) == 0
    with pytest.raises(AttributeError):
        lib.is_nul  # noqa: B018


def test_declarations_may_stand_in_a_file(library_file, tmp_path):
    file = tmp_path / "native.h"
    file.write_text("double sum(const double *x, size_t n);")
    assert NativeLibrary(str(library_file), file).sum(np.ones(4), 4) == 4


def test_our_own_library_can_be_called_so():
    from odyssey.bridge.direct import ODYSSEY

    declarations = """
        typedef int ody_status;
        const char *ody_status_text(ody_status status);
        ody_status ody_softmax_f32(const float x[rows * n], size_t rows, size_t n, float out[rows * n]);
    """
    lib = NativeLibrary(od.library_path(), declarations, status={"ody_status": ODYSSEY}, explain="ody_status_text")
    x = np.random.default_rng(0).random((3, 5), np.float32)
    out = np.empty_like(x)
    lib.ody_softmax_f32(x, 3, 5, out)
    assert out.tobytes() == od.softmax(x).tobytes()
    with pytest.raises(ShapeError, match=r"ody_softmax_f32: invalid dimension \(status 2\)"):
        lib.ody_softmax_f32(
            lib.ffi.cast("float *", x.ctypes.data), 1 << 62, 8, lib.ffi.cast("float *", out.ctypes.data)
        )


def test_an_array_that_may_be_missing_is_null_for_cffi_too(lib):
    assert lib.is_null(None) == 1
    assert lib.maybe(None, 3) == -3
    assert lib.maybe(lambda x: x * 2, 3) == 6


def test_without_cffi_the_error_says_what_to_install():
    script = """
import sys
sys.modules["cffi"] = None
from odyssey.bridge.direct import NativeLibrary
try:
    NativeLibrary("m", "double cos(double x);")
except ImportError as error:
    assert "pip install cffi" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
