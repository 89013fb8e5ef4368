"""Minimax polynomials of the vector math: prints every coefficient that stands in math_f32.h and math_f64.h.

    python tools/minimax.py                 all of them
    python tools/minimax.py exp_f32 log_f64 only these

Remez' exchange in mpmath. A polynomial is fitted to f(x) / head(x), with error measured relative to `weight`. Its
coefficients are rounded to the target type one by one, lowest power first, and the rest is fitted again after each, so
that the later coefficients make up for the rounding of the earlier ones. Needs mpmath.
"""

import sys

import mpmath as mp

mp.mp.dps = 60


def to_float(x, bits):
    """x rounded to a binary float of `bits` significant bits."""
    x = mp.mpf(x)
    if x == 0:
        return x
    scale = mp.mpf(2) ** (bits - 1 - mp.floor(mp.log(abs(x), 2)))
    return mp.nint(x * scale) / scale


def literal(x, bits):
    """x as a C hexadecimal literal, exact for a value that to_float returned."""
    text = float(x).hex()
    if float(x) == 0.0:
        text = "0.0"
    return text.replace("0000000p", "p").rstrip() + ("f" if bits == 24 else "")


def remez(f, low, high, powers, weight, rounds=30, points=None):
    """Coefficients of sum(c[i] * x**powers[i]) minimising max |(f - p) / weight| on [low, high], and that maximum."""
    n = len(powers)
    low, high = mp.mpf(low), mp.mpf(high)
    count = points or 40 * (n + 1)
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count) for i in range(count)]
    fs, ws = [f(x) for x in grid], [abs(weight(x)) for x in grid]
    reference = [round((i + 0.5) * (count - 1) / (n + 1)) for i in range(n + 1)]
    for _ in range(rounds):
        rows = [[grid[i] ** p for p in powers] + [(-1) ** k * ws[i]] for k, i in enumerate(reference)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([fs[i] for i in reference]))
        c = [solution[i] for i in range(n)]
        error = [(fs[i] - mp.fsum(a * x**p for a, p in zip(c, powers))) / ws[i] for i, x in enumerate(grid)]
        worst = max(abs(e) for e in error)
        if worst <= abs(solution[n]) * mp.mpf("1.01"):
            break
        # One extremum for each run of equal signs, then the n + 1 that alternate and weigh most.
        runs = []
        for i, e in enumerate(error):
            if runs and (e > 0) == (error[runs[-1]] > 0):
                if abs(e) > abs(error[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > n + 1:
            size = [abs(error[i]) for i in runs]
            if len(runs) == n + 2:
                runs.pop(0 if size[0] < size[-1] else -1)
            else:
                j = min(range(len(runs) - 1), key=lambda j: max(size[j], size[j + 1]))
                del runs[j : j + 2]
        if len(runs) < n + 1:
            break
        reference = runs
    return c, worst


def fit(f, low, high, powers, bits, weight=None, fixed=(), wide=0):
    """As remez, every coefficient rounded to `bits`, the first `wide` of them to twice as many; `fixed` gives leading
    coefficients beforehand."""
    weight = weight or f
    done, ahead, best = [mp.mpf(c) for c in fixed], None, None
    while len(done) < len(powers):
        def rest(x):
            return f(x) - mp.fsum(c * x**p for c, p in zip(done, powers))
        c, error = remez(rest, low, high, powers[len(done):], weight)
        if ahead and error > 2 * best:  # without its constant term the rest need not be fit to compensate: round only
            c = ahead
        else:
            best = error
        done.append(to_float(c[0], 2 * bits if len(done) < wide else bits))
        ahead = c[1:]
    grid = [mp.mpf(low) + (mp.mpf(high) - low) * (i + mp.mpf("0.4")) / 400 for i in range(400)]
    worst = max(abs((f(x) - mp.fsum(c * x**p for c, p in zip(done, powers))) / weight(x)) for x in grid)
    return done, worst


def accurate_center(f, low, high, bits, tries=1000):
    """A float near the middle of [low, high] at which f and its slope are nearly floats too: their rounding vanishes."""
    start = to_float((low + high) / 2, bits)
    ulp = mp.mpf(2) ** (mp.floor(mp.log(start, 2)) - bits + 1)
    step = mp.floor((high - low) / 32 / tries / ulp) * ulp  # a flat f needs room to reach the next float

    def rounding(x):
        slope = mp.diff(f, x)
        return abs(to_float(f(x), bits) - f(x)) + abs(to_float(slope, bits) - slope) * (high - low) / 2

    best = min((start + i * step for i in range(-tries, tries)), key=rounding)
    return best, to_float(f(best), bits)


def table(f, bounds, degree, bits, odd=True, slope=0, start=0, slack=mp.mpf("1e-3")):
    """One polynomial in x - center for each interval, relative to f: rows of [center, c0, c1, ...], and the worst error.

    Where f is odd, center and c0 of the first interval are 0, so that small x keep their relative accuracy.
    Then that first polynomial is for f(x) - slope x. It stands in column `start`, the last ones before it.
    """
    columns, worst = [], mp.mpf(0)
    for low, high in zip(bounds, bounds[1:]):
        low, high = mp.mpf(low), mp.mpf(high)
        margin = (high - low) * slack
        if low == 0 and odd:
            c, e = fit(lambda h: f(h) / h - slope, mp.mpf("1e-8"), high + margin, list(range(degree)), bits,
                       weight=lambda h: f(h) / h)
            columns.append([mp.mpf(0), mp.mpf(0), *c])
        else:
            center, c0 = accurate_center(f, low, high, bits)
            at_center = f(center)
            c, e = fit(lambda h: (f(center + h) - at_center) / h, low - margin - center, high + margin - center,
                       list(range(degree)), bits, weight=lambda h: f(center + h) / h)
            columns.append([center, c0, *c])
        worst = max(worst, e)
    if start:
        columns = columns[-start:] + columns[:-start]
    return list(zip(*columns)), worst


def anchored(f, bounds, degree, bits, tries=1000):
    """For a falling f, one polynomial in end - x for each interval, relative to f: rows of [end, c0, c1, ...], and the worst
    error. From its end f only grows, so nothing cancels. The ends are floats at which f and its slope nearly are floats;
    that of the first interval is 0, where f should be one."""
    columns, worst = [], mp.mpf(0)
    for low, high in zip(bounds, bounds[1:]):
        end = to_float(high, bits)
        if low == 0:
            end = mp.mpf(0)
        else:
            ulp = mp.mpf(2) ** (mp.floor(mp.log(end, 2)) - bits + 1)

            def rounding(x, width=high - low):
                slope = mp.diff(f, x)
                return abs(to_float(f(x), bits) - f(x)) + abs(to_float(slope, bits) - slope) * width * 3

            end = min((end + i * ulp for i in range(tries)), key=rounding)
        slack = (high - low) * mp.mpf("1e-4")
        c, e = fit(lambda u: f(end - u), end - high - slack, end - low + slack, list(range(degree + 1)), bits)
        columns.append([end, *c])
        worst = max(worst, e)
    return list(zip(*columns)), worst


def tail(f, leading, power):
    """(f(x) - leading(x)) / x**power, and the weight that makes an error of the quotient relative to f."""
    def quotient(x):
        with mp.workdps(120):
            return (f(x) - leading(x)) / x**power
    return quotient, lambda x: f(x) / x**power


LN2_16 = mp.log(2) / 16 * mp.mpf("1.0005")
HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0001")
SQRT_HALF = (mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1)


def mills(t):
    """Phi(-t) e^(t^2/2), the Mills ratio of the normal distribution."""
    return mp.erfc(t / mp.sqrt(2)) / 2 * mp.exp(t * t / 2)


def octaves(end):
    """Bounds of eight intervals of t: two for each octave of 1 + 14.99 t / end."""
    return [(y - 1) * mp.mpf(end) / mp.mpf("14.99") for y in (1, 1.5, 2, 3, 4, 6, 8, 12, 16)]


def split_table(values, bits):
    """Two rows: the values rounded, and what is left of them."""
    high = [to_float(v, bits) for v in values]
    return [high, [to_float(v - h, bits) for v, h in zip(values, high)]], mp.mpf(2) ** (-2 * bits)


def polynomial(f, low, high, n, bits, weight=None, powers=None):
    powers = powers or list(range(n))
    c, e = fit(f, low, high, powers, bits, weight)
    return [c], e


def exp_tail(n, bits):
    f, w = tail(mp.exp, lambda x: 1 + x, 2)
    return polynomial(f, -HALF_LN2, HALF_LN2, n, bits, w)


# [sqrt(1/2), sqrt(2)) in eight steps of 2^49 of a double's bits: five of 1/16 below 1 - 1/24, one from there to 1 + 1/24,
# three of 1/8 above.
LOG_BOUNDS = [mp.mpf(17 + 1.5 * i) / 24 for i in range(5)] + [mp.mpf(25 + 3 * i) / 24 for i in range(4)]


def log_table():
    """Rows of r, and -log r and -log2 r each in two parts, the first a multiple of 2^-42."""
    columns = []
    for low, high in zip(LOG_BOUNDS, LOG_BOUNDS[1:]):
        r = mp.mpf(1) if low < 1 < high else to_float(2 / (low + high), 53)
        column = [r]
        for c in (-mp.log(r), -mp.log(r, 2)):
            head = mp.nint(c * 2**42) / 2**42
            column += [head, to_float(c - head, 53)]
        columns.append(column)
    return list(zip(*columns)), 0


def log_piece(f, leading, power, n, bits):
    g, w = tail(f, leading, power)
    return polynomial(g, mp.mpf("-0.0567"), mp.mpf("0.0567"), n, bits, lambda x: w(x) if x else 1)


def rational_mills(f, k, end, n, bits):
    """f(t) = P((t - k) / (t + k)) / (t + k) for 0 <= t <= end. The second half of the first coefficient comes first."""
    def g(v):
        t = k * (1 + v) / (1 - v)
        return f(t) * (t + k)
    c, e = fit(g, -1, (end - k) / (end + k), list(range(n)), bits, wide=1)
    head = to_float(c[0], bits)
    return [[to_float(c[0] - head, bits), head, *c[1:]]], e


def rational_slope(f, k, end, n, bits):
    """The derivative of rational_mills' polynomial, roughly."""
    def g(v):
        t = k * (1 + v) / (1 - v)
        return f(t) * (t + k)
    return polynomial(lambda v: mp.diff(g, v, direction=1 if v < 0 else -1), -1, (end - k) / (end + k), n, bits, lambda v: 1)


def erfcx(t):
    return mp.erfc(t) * mp.exp(t * t)


def log_tail(f, leading, n, bits):
    f, w = tail(f, leading, 2)
    return polynomial(f, *SQRT_HALF, n, bits, w)


def atan_tail(n, bits):
    """(atan(t) - t) / t^3 in t^2, for t up to tan(pi / 8)."""
    return polynomial(lambda y: (mp.atan(mp.sqrt(y)) / mp.sqrt(y) - 1) / y, mp.mpf("1e-9"), mp.mpf("0.1717"), n, bits, lambda y: 1 / y)


def softplus_f32():
    f, w = tail(mp.log1p, lambda z: z, 2)
    center, _ = accurate_center(f, mp.mpf("0.45"), mp.mpf("0.55"), 24)
    return polynomial(lambda h: f(center + h), mp.mpf("1e-9") - center, 1 - center, 10, 24, lambda h: w(center + h))


SPECS = {
    # name: (significant bits, a function giving rows of coefficients and the largest relative error)
    "exp_coarse_f32": (24, lambda: polynomial(lambda r: mp.expm1(r) / r, -LN2_16, LN2_16, 3, 24, lambda r: mp.exp(r) / r)),
    "exp_fine_f32": (24, lambda: polynomial(lambda r: mp.expm1(r) / r, -LN2_16, LN2_16, 4, 24, lambda r: mp.exp(r) / r)),
    "exp2_eighths_f32": (24, lambda: split_table([mp.mpf(2) ** (mp.mpf(j) / 8) for j in range(8)], 24)),
    "exp_f32": (24, lambda: exp_tail(5, 24)),
    "expm1_f32": (24, lambda: exp_tail(6, 24)),
    "log_f32": (24, lambda: log_tail(mp.log1p, lambda x: x, 9, 24)),
    "log2_f32": (24, lambda: log_tail(lambda x: mp.log1p(x) / mp.log(2), lambda x: x / mp.log(2), 9, 24)),
    "sin_f32": (24, lambda: polynomial(lambda y: (mp.sin(mp.sqrt(y)) / mp.sqrt(y) - 1) / y, mp.mpf("1e-9"), mp.mpf("0.63"), 3, 24,
                                       lambda y: 1 / y)),
    "cos_f32": (24, lambda: polynomial(lambda y: (mp.cos(mp.sqrt(y)) - 1) / y, mp.mpf("1e-9"), mp.mpf("0.63"), 4, 24, lambda y: 1 / y)),
    "atan_f32": (24, lambda: atan_tail(5, 24)),
    "softplus_f32": (24, softplus_f32),
    "mills_f32": (24, lambda: table(mills, octaves("14.5"), 8, 24, odd=False, start=6)),
    "gelu_f32": (24, lambda: table(lambda t: t * mills(t), octaves("14.5"), 7, 24, slope=mp.mpf(1) / 2, start=6)),
    "normal_f32": (24, lambda: anchored(lambda t: mp.erfc(t / mp.sqrt(2)) / 2, [mp.mpf(5) * i / 8 for i in range(9)], 10, 24)),
    "tanh_f32": (24, lambda: table(mp.tanh, octaves("9.02"), 7, 24, slope=1, start=6)),
    "erf_f32": (24, lambda: table(mp.erf, [0] + [(i + mp.mpf(1) / 2) * mp.mpf("3.93") / mp.mpf("7.49") for i in range(8)], 7, 24, slope=1)),
    "exp_f64": (53, lambda: exp_tail(11, 53)),
    "log_f64": (53, lambda: log_piece(mp.log1p, lambda x: x, 2, 10, 53)),
    "log2_f64": (53, lambda: log_piece(lambda x: mp.log1p(x) / mp.log(2), lambda x: x / mp.log(2), 2, 10, 53)),
    "pow_f64_log": (53, lambda: log_piece(mp.log1p, lambda x: x - x * x / 2 + x**3 / 3, 4, 11, 53)),
    "log_table_f64": (53, log_table),
    "sin_f64": (53, lambda: polynomial(lambda y: (mp.sin(mp.sqrt(y)) / mp.sqrt(y) - 1) / y, mp.mpf("1e-9"), mp.mpf("0.63"), 7, 53,
                                       lambda y: 1 / y)),
    "cos_f64": (53, lambda: polynomial(lambda y: (mp.cos(mp.sqrt(y)) - 1 + y / 2) / y**2, mp.mpf("1e-9"), mp.mpf("0.63"), 6, 53,
                                       lambda y: 1 / y**2)),
    "atan_f64": (53, lambda: atan_tail(12, 53)),
    "softplus_f64": (53, lambda: polynomial(lambda z: mp.log1p(z) / z, mp.mpf("1e-9"), 1, 22, 53)),
    "mills_f64": (53, lambda: rational_mills(mills, 4, mp.mpf("38.7"), 24, 53)),
    "mills_f64_slope": (53, lambda: rational_slope(mills, 4, mp.mpf("38.7"), 4, 53)),
    "erfc_f64": (53, lambda: rational_mills(erfcx, 3, mp.mpf("27.4"), 24, 53)),
    "erfc_f64_slope": (53, lambda: rational_slope(erfcx, 3, mp.mpf("27.4"), 4, 53)),
    "erf_f64": (53, lambda: table(mp.erf, [0] + [(i + mp.mpf(1) / 2) * mp.mpf("5.93") / mp.mpf("7.49") for i in range(8)], 17, 53, slope=1)),
    "pow_f32_log2": (53, lambda: polynomial(lambda y: 2 * mp.atanh(mp.sqrt(y)) / mp.sqrt(y) / mp.log(2), mp.mpf("1e-9"), mp.mpf("0.02945"), 6, 53)),
    "pow_f32_exp2": (53, lambda: polynomial(lambda x: mp.mpf(2) ** x, -0.5, 0.5, 8, 53)),
}


def main(names):
    for name in names or SPECS:
        bits, make = SPECS[name]
        rows, worst = make()
        kind = "float" if bits == 24 else "double"
        shape = f"[{len(rows)}][{len(rows[0])}]" if len(rows) > 1 else f"[{len(rows[0])}]"
        if worst:
            print(f"/* largest relative error 2^{mp.nstr(mp.log(worst, 2), 4)} */")
        print(f"static const {kind} ody_{name}{shape} = {{")
        for row in rows:
            text = ", ".join(literal(c, bits) for c in row)
            print(f"    {{{text}}}," if len(rows) > 1 else f"    {text},")
        print("};\n")


if __name__ == "__main__":
    main(sys.argv[1:])
