"""NumPy's product in a process whose OpenBLAS was told which processor it runs on."""

import io
import json

import numpy as np
import pytest

from odyssey.bench import openblas

A = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
B = np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)


def test_the_child_answers_a_line_for_a_line(tmp_path):
    np.save(tmp_path / "a.npy", A)
    np.save(tmp_path / "b.npy", B)
    answers = io.StringIO()
    openblas.serve(tmp_path, io.StringIO('"save"\n3\n'), answers)
    core, saved, seconds = map(json.loads, answers.getvalue().splitlines())
    assert core is None or isinstance(core, str)
    assert saved == 0.0
    assert seconds > 0
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), np.matmul(A, B))


@pytest.mark.skipif(openblas.unavailable() is not None, reason=str(openblas.unavailable()))
def test_a_child_computes_the_product_and_ends_with_its_block():
    with openblas.ChildMatmul(A, B) as child:
        np.testing.assert_allclose(child.result(), A @ B, rtol=1e-5)
        assert child.sample(2) > 0
        process = child._child
    assert process.returncode == 0


@pytest.mark.skipif(openblas.unavailable() is not None, reason=str(openblas.unavailable()))
def test_a_child_that_died_is_an_error_and_not_a_wait():
    child = openblas.ChildMatmul(A, B)
    child._child.kill()
    child._child.wait()
    with pytest.raises(RuntimeError, match="ended with status -9"):
        child.sample(1)
    child.close()


@pytest.mark.skipif(openblas.unavailable() is not None, reason=str(openblas.unavailable()))
def test_another_core_type_than_asked_for_is_refused(monkeypatch):
    monkeypatch.setattr(openblas, "CORE_TYPE", "Haswell")
    monkeypatch.setattr(openblas.ChildMatmul, "_answer", lambda self: "Prescott")
    with pytest.raises(RuntimeError, match="told Haswell and chose Prescott"):
        openblas.ChildMatmul(A, B)


def test_it_says_why_it_cannot_race(monkeypatch):
    monkeypatch.setattr("odyssey.isa.available", lambda: ("avx2", "scalar"))
    assert "AVX-512" in openblas.unavailable()
    monkeypatch.setattr("odyssey.isa.available", lambda: ("avx512",))
    monkeypatch.setattr(openblas, "_libraries", lambda: [{"internal_api": "mkl"}])
    assert "OpenBLAS" in openblas.unavailable()
    monkeypatch.setattr(openblas, "_libraries", lambda: [{"internal_api": "openblas"}])
    assert openblas.unavailable() is None
