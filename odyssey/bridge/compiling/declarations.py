"""The C functions of runtime.h, wrap.h and the C library, as Cython has to be told of them."""

from __future__ import annotations

from odyssey.bridge.compiling.kinds import NUMBERS, Scalar

__all__ = ["COMMON", "DECLARATIONS"]

COMMON = (
    "int _import_array() except -1",
    "int ody_fail(ody_trouble *, int, int) nogil",
    "int ody_bounds(ody_trouble *, int, int, int64_t, int64_t) nogil",
    "int64_t ody_wrap(int64_t, int64_t) nogil",
    "bint ody_outside(int64_t, int64_t) nogil",
    "bint ody_bad(int) nogil",
    "bint ody_holds(int) nogil",
    "void ody_drop_all(ody_trouble *) nogil",
    "bint ody_is_array(object, int, int, int, bint)",
    "char *ody_data(object)",
    "int64_t ody_length(object, int)",
    "int64_t ody_stride(object, int)",
    "bint ody_is_writable(object)",
    "int ody_take_int(object, int64_t *) except -1",
    "bint ody_take_float(object, double *)",
    "bint ody_take_bool(object, bint *)",
    "object ody_give_array(char *, ody_block *, int, const int64_t *, const int64_t *, int, tuple)",
)
"""What every module knows."""

MATH = ("acos", "asin", "atan", "acosh", "asinh", "atanh", "cbrt", "ceil", "cos", "cosh", "erf", "erfc", "exp", "exp2",
        "expm1", "fabs", "floor", "log", "log10", "log1p", "log2", "rint", "sin", "sinh", "sqrt", "tan", "tanh",
        "trunc")  # fmt: skip
MATH_OF_TWO = ("atan2", "copysign", "fmod", "hypot")
FAILING_MATH = ("acos", "acosh", "asin", "atanh", "cos", "cosh", "exp", "exp2", "expm1", "log", "log10", "log1p",
                "log2", "sin", "sinh", "sqrt", "tan")  # fmt: skip


def _declarations() -> dict[str, str]:
    found: dict[str, str] = {}

    def declare(name: str, result: str, *given: str, fails: bool = False) -> None:
        found[name] = f"{result} {name}({', '.join([*given, 'int *'] if fails else given)}) nogil"

    declare("ody_hold", "void", "ody_block *")
    declare("ody_drop", "void", "ody_block *")
    declare("ody_bytes", "int64_t", "int64_t", "int64_t", fails=True)
    declare("ody_new", "ody_block *", "ody_trouble *", "int64_t", "bint", fails=True)
    declare("ody_trips", "int64_t", "int64_t", "int64_t", "int64_t")
    for word in ("sum", "difference", "product"):
        declare(f"ody_{word}", "int64_t", "int64_t", "int64_t", "int *")
    for word in ("least", "most", "floor_quotient"):
        declare(f"ody_{word}", "int64_t", "int64_t", "int64_t")
    declare("ody_order_int_float", "int64_t", "int64_t", "double")
    declare("ody_order_int64_uint64", "int64_t", "int64_t", "uint64_t")
    for word in ("floordiv", "mod", "pow", "lshift", "rshift"):
        declare(f"ody_{word}_int", "int64_t", "int64_t", "int64_t", fails=True)
    for word in ("div", "floordiv", "mod", "pow"):
        declare(f"ody_{word}_float", "double", "double", "double", fails=True)
    declare("ody_div_int", "double", "int64_t", "int64_t", fails=True)
    for word in ("to", "floor", "ceil", "round"):
        declare(f"ody_{word}_int", "int64_t", "double", fails=True)
    declare("ody_cut", "int64_t", "double")
    declare("ody_cut_uint64", "uint64_t", "double")
    declare("ody_abs_int", "int64_t", "int64_t")
    declare("ody_fit_int_uint64", "int64_t", "uint64_t", fails=True)
    for kind in map(Scalar, NUMBERS):
        name, c = kind.name, kind.c
        for word in ("floordiv", "mod", "min", "max"):
            declare(f"ody_{word}_{name}", c, c, c)
        declare(f"ody_pow_{name}", c, c, c, fails=not kind.floating)
        for word in ("minimum", "maximum") if kind.floating else ("lshift", "rshift"):
            declare(f"ody_{word}_{name}", c, c, c)
        declare(f"ody_fit_{name}", c, "int64_t", fails=True)
        found[f"ody_take_{name}"] = f"bint ody_take_{name}(object, {c} *)"
        found[f"ody_give_{name}"] = f"object ody_give_{name}({c})"
    found["ody_take_bool_"] = "bint ody_take_bool_(object, bint *)"
    found["ody_give_bool"] = "object ody_give_bool(bint)"
    for word in FAILING_MATH:
        declare(f"ody_math_{word}", "double", "double", fails=True)
    for word in ("fmod", "pow"):
        declare(f"ody_math_{word}", "double", "double", "double", fails=True)
    for word in ("isnan", "isinf", "isfinite"):
        declare(f"ody_{word}", "bint", "double")
    for word in MATH:
        declare(word, "double", "double")
        declare(f"{word}f", "float", "float")
    for word in MATH_OF_TWO:
        declare(word, "double", "double", "double")
        declare(f"{word}f", "float", "float", "float")
    return found


DECLARATIONS = _declarations()
"""What a module knows that uses it."""
