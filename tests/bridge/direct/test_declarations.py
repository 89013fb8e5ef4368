"""Declarations: what is read from C, and what is said when it is none."""

import pytest

from odyssey.bridge.direct import read
from odyssey.bridge.direct.arguments import elements
from odyssey.bridge.direct.declarations import Kind
from odyssey.errors import FormatError


def parameters(text):
    return next(iter(read(text).functions.values())).parameters


def test_const_says_whether_an_array_is_written_through_typedefs_too():
    text = """
        typedef const float *readable;
        typedef const double number;
        typedef float *writable;
        typedef struct thing thing;
        void f(readable a, number *b, writable c, const writable d, float const *e, const float *const *g, thing *h, const thing *i);
    """
    assert [one.writable for one in parameters(text)] == [False, False, True, True, False, False, True, False]


def test_nullable_is_read_in_both_of_clangs_places():
    text = "void f(float *_Nullable a, float b[_Nullable n], float *c, float *_Nonnull d, float *restrict e, float *__restrict__ g, int n);"
    assert [one.nullable for one in parameters(text)[:6]] == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("size", "expected"),
    [("n", 6), ("n * m", 24), ("n*m + 1", 25), ("(n - 1) * 2 + m", 14), ("n / m", 1), ("3", 3), ("MOST", 9), ("2*n-m", 8),
     ("0x10u", 16), ("static n", 6)],
)  # fmt: skip
def test_sizes_are_computed_from_the_parameters(size, expected):
    read_ = parameters(f"#define MOST 9\nvoid f(int n, short m, float x[{size}]);")
    assert elements(read_[2], [6, 4, 0]) == expected


def test_sizes_of_several_axes_multiply_and_may_come_first():
    x, n, _ = parameters("void f(float x[n + 1][m][3], size_t n, size_t m);")
    assert elements(x, [0, 2, 5]) == 45
    assert x.size_text == "(n + 1) * (m) * (3)"
    assert n.kind is Kind.UNSIGNED
    assert parameters("void f(float x[], int n, float y[*]);")[0].size == ()


def test_a_size_that_is_no_number_is_none():
    x = parameters("void f(float x[n / m], int n, int m);")[0]
    assert elements(x, [0, 3, 0]) is None
    x = parameters("void f(float x[n * m], int64_t n, int64_t m);")[0]
    assert elements(x, [0, 1 << 62, 4]) is None


def test_comments_and_constants_are_understood():
    found = read("/* one */ #define A 3\n// two\nenum e { B = 5, C };\nint f(int, int b); /* x */")
    assert found.constants == {"A", "B", "C"}


def test_unnamed_parameters_are_numbered_and_void_is_none():
    assert [one.name for one in parameters("int f(int, float *);")] == ["argument0", "argument1"]
    assert parameters("int f(void);") == ()
    assert parameters("int f();") == ()
    assert read("extern int f(void);").functions["f"].text == "extern int f(void)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int f(int);\nint g(flot x);", r"line 2; before: x[\s\S]*int g\(flot x\);[\s\S]*must be declared first"),
        ("int f(", "expected C"),
        ("int f(void); /* without an end", "Comments"),
        ("#include <stdio.h>\nint f(void);", r"line 1: #include <stdio.h>[\s\S]*cc -E -P"),
        ("int f(float x[m], int n);", r"found m[\s\S]*the parameters are x, n"),
        ("int f(float x[n], float n);", "found n"),
        ("int f(float x[n % 2], int n);", "found n % 2"),
        ("int f(void *x[n], int n);", "x has a size, but is no array of numbers"),
        ("int f(float x[" + "+".join(["n"] * 40) + "], int n);", "too long"),
        ("struct p { int x : 3; }; struct p { int y; }; int f(struct p *q);", "cffi cannot read them"),
    ],
)  # fmt: skip
def test_what_is_not_c_is_shown_with_its_line(text, said):
    with pytest.raises(FormatError, match=said):
        read(text)
