"""The plots of a run: a roofline where arithmetic is counted, bandwidths where it is not."""

import re

import pytest

pytest.importorskip("matplotlib")
from odyssey.bench.plots import plot

LIMITS = [
    {"what": what, "where": where, "threads": 1, "isa": isa, "rate": rate}
    for what, where, isa, rate in (
        ("float32 fma", "registers", "avx512", 110.0),
        ("float32 fma", "registers", "avx2", 110.2),
        ("read", "L2", "avx512", 80.0),
        ("read", "memory", "avx512", 20.0),
        ("copy", "memory", "avx512", 10.0),
    )
]


def row(isa="avx512", flops=0, moved=1 << 20, seconds=1e-3, threads=1):
    return {
        "isa": isa,
        "threads": threads,
        "dtype": "float32",
        "work": {"flops": flops, "read": moved, "written": 0},
        "seconds": {"median": seconds},
    }


def words(svg):
    return " ".join(re.findall(r">([^<>]+)</text>", svg))


def test_products_stand_under_the_roofs_of_arithmetic_and_of_each_level():
    rows = [row(isa, flops, 1 << 10) for isa in ("avx512", "avx2") for flops in (1e3, 1e5, 1e7)]
    text = words(plot("products", rows, LIMITS, 1))
    assert "operations per byte" in text
    assert "FMA peak, avx512 and avx2" in text
    assert "memory" in text


def test_without_limits_the_points_stand_alone():
    text = words(plot("products", [row(flops=1e6)], [], 1))
    assert "GFLOP/s" in text
    assert "FMA peak" not in text


def test_what_moves_bytes_stands_under_the_bandwidths():
    text = words(plot("sums", [row(moved=1 << k) for k in (9, 14, 21, 31)], LIMITS, 1))
    assert "copy in memory" in text
    assert "512 B" not in text  # the ticks are powers of four from 256 B on
    assert "4 KiB" in text
    assert "1 GiB" in text


def test_a_run_without_races_on_so_many_threads_is_an_empty_plot():
    svg = plot("sums", [row(threads=2)], LIMITS, 1)
    assert svg.startswith("<svg")
    assert "GB/s" not in words(svg)
