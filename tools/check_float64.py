"""Holds the float64 kernels, and the quadruple-precision oracle they are measured by, against mpmath.

    CFLAGS=-DODY_QUAD LDLIBS=-lquadmath ODY_ISAS=avx512 NO_COMPARE=1 tests/native/run.sh math_f64_check -p -n 20000 \\
        | python tools/check_float64.py

reads lines "function input result oracle". Prints, for each function, how many points were compared, the largest error of
the kernel in ulp against mpmath, and the oracle's largest error in ulp of a double.
"""

import math
import sys
from collections import defaultdict

import mpmath as mp

mp.mp.prec = 2400  # sin of 2^1024 loses a thousand bits; e^-2000 in log1p as many
C1 = 2 * mp.sqrt(2 / mp.pi)
CUBE = mp.mpf("0.044715")


def sigmoid(x): return 1 / (1 + mp.exp(-x))
def softplus(x): return mp.log(1 + mp.exp(x)) if x < 1000 else x
def cdf(x): return mp.erfc(-x / mp.sqrt(2)) / 2
def argument(x): return C1 * (x + CUBE * x**3)


FUNCTIONS = {
    "exp": mp.exp, "expm1": mp.expm1, "log": mp.log, "log2": lambda x: mp.log(x) / mp.log(2), "log1p": mp.log1p,
    "tanh": mp.tanh, "sigmoid": sigmoid, "erf": mp.erf, "erfc": mp.erfc, "sin": mp.sin, "cos": mp.cos,
    "silu": lambda x: x * sigmoid(x), "gelu": lambda x: x * cdf(x), "gelu_tanh": lambda x: x * sigmoid(argument(x)),
    "softplus": softplus, "mish": lambda x: x * mp.tanh(softplus(x)),
}
# Beyond these the result is 0, 1, x or inf, and mpmath would take its time.
RANGE = {"exp": 800, "expm1": 800, "tanh": 400, "sigmoid": 800, "erf": 40, "erfc": 40, "silu": 800, "gelu": 45, "gelu_tanh": 45,
         "softplus": 800, "mish": 800}


def ulp_error(got, want):
    """In ulp of a double at want."""
    if want == 0: return 0.0 if got == 0 else math.inf
    exponent = max(int(mp.floor(mp.log(abs(want), 2))), -1022)
    if exponent > 1023: return 0.0 if got == mp.inf * mp.sign(want) else math.inf
    if mp.isinf(got): got = mp.sign(got) * mp.mpf(2) ** 1024
    return float(abs(got - want) * mp.mpf(2) ** (52 - exponent))


found = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
for line in sys.stdin:
    name, *fields = line.split()
    if name not in FUNCTIONS or len(fields) != 3: continue
    x, got = (float.fromhex(field) for field in fields[:2])
    if not math.isfinite(x) or abs(x) > RANGE.get(name, math.inf) or (name.startswith("log") and x <= (-1 if name == "log1p" else 0)):
        continue
    mp.mp.prec = 2400 if name in ("sin", "cos", "log1p", "expm1") or abs(x) < 1e-20 else 300
    if name in ("silu", "mish", "softplus", "sigmoid") or abs(x) < 1e-20: mp.mp.prec = 2400
    want, oracle = FUNCTIONS[name](mp.mpf(x)), mp.mpf(fields[2]) if fields[2] not in ("inf", "-inf", "nan") else mp.mpf(fields[2])
    row, error = found[name], ulp_error(mp.mpf(got), want)
    row[0] += 1
    if error > row[1]: row[1], row[2] = error, x
    # Where it overflows or vanishes for a double, the oracle need not be near.
    if abs(want) < mp.mpf(2) ** 1024: row[3] = max(row[3], ulp_error(oracle, want))
for name, (points, error, at, oracle) in found.items():
    print(f"{name:10} {points:8} points  kernel {error:.4f} ulp at {at.hex()}  oracle {oracle:.2g} ulp")
