"""Every operation, fast against reference, on every instruction set of this machine."""

import numpy as np
import pytest

import odyssey
from odyssey.testing import CASES, check_backward, digests, verify_case
from odyssey.testing.call import LAYOUTS

ISAS = odyssey.isa.available()
OPS = list(CASES)
WITH_OUT = [op for op, case in CASES.items() if case.takes_out]


def _samples(case, dtype):
    """Ordinary values of every size and option."""
    return [sample for sample in case.samples(dtype, large=False) if sample.regime == "normal"]


def test_there_is_an_instruction_set_to_test_on():
    print("usable:", *ISAS, "- built but not usable here:", *(set(odyssey.isa.found()) - set(ISAS)) or ["none"])
    assert ISAS


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("isa", ISAS)
def test_results_are_those_of_the_reference(isa, op):
    result = verify_case(CASES[op], [isa])
    assert result.calls > 0
    assert result.passed, result.message


@pytest.mark.parametrize("op", OPS)
def test_the_bits_are_the_same_on_every_instruction_set_and_thread_count(op):
    found = {}
    for isa in ISAS:
        for threads in (1, 2, 3):
            with odyssey.isa.use(isa), odyssey.threads.limit(threads):
                found[isa, threads] = digests([op])[op]
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("op", [op for op, case in CASES.items() if not isinstance(case.grad, str)])
def test_the_gradient_agrees_with_differences(op):
    assert check_backward(CASES[op], odyssey, points=1) > 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", WITH_OUT)
def test_out_of_any_layout_gets_the_bits_of_a_new_result(op, layout):
    case = CASES[op]
    for dtype in case.dtypes:
        for sample in _samples(case, dtype):
            call = case.draw(sample)
            if "out" in call.kwargs:
                continue  # matmul with beta: its row covers out
            expected, *_ = case.run(odyssey, call)
            out = LAYOUTS[layout](np.full(expected.shape, 77, expected.dtype))
            result = getattr(odyssey, op)(*call.args, **call.kwargs, out=out)
            assert result is out
            assert out.tobytes() == expected.tobytes(), str(sample)


@pytest.mark.parametrize("op", [op for op in WITH_OUT if CASES[op].family in ("elementwise", "activations", "softmax")])
def test_an_operand_may_be_overwritten_by_the_result(op):
    case = CASES[op]
    for sample in _samples(case, "float32"):
        call = case.draw(sample)
        (expected,) = case.run(odyssey, call)
        for position, value in enumerate(call.args):
            if not isinstance(value, np.ndarray) or value.shape != expected.shape:
                continue
            fresh = call.fresh()
            getattr(odyssey, op)(*fresh.args, **fresh.kwargs, out=fresh.args[position])
            assert fresh.args[position].tobytes() == expected.tobytes(), str(sample)


@pytest.mark.parametrize("op", OPS)
def test_inputs_may_be_read_only_and_are_not_written(op):
    case = CASES[op]
    for sample in _samples(case, "float32"):
        call = case.draw(sample)
        for position, value in enumerate(call.args):
            if isinstance(value, np.ndarray) and position not in case.mutates:
                value.flags.writeable = False
        before = call.fresh()
        case.run(odyssey, call)
        for position, (was, now) in enumerate(zip(before.args, call.args, strict=True)):
            if isinstance(now, np.ndarray) and position not in case.mutates:
                assert was.tobytes() == now.tobytes()


@pytest.mark.parametrize(
    "op", [op for op, case in CASES.items() if case.family in ("softmax", "linear", "conv", "pooling")]
)
def test_a_row_of_a_batch_has_the_bits_of_the_row_alone(op):
    case = CASES[op]
    if "backward_weight" in op:
        pytest.skip("sums over the batch")
    for isa in ISAS:
        for sample in (*_samples(case, "float32"), *(s for s in case.samples("float32") if s.size in case.large)):
            call = case.draw(sample)
            first = call.args[0]
            if first.ndim < 2 or len(first) < 2 or call.kwargs.get("axis") == 0 or "out" in call.kwargs:
                continue
            with odyssey.isa.use(isa):
                (whole,) = case.run(odyssey, call)
                alone = _alone(case, call, len(whole), 1)
                if whole.ndim == first.ndim and alone is not None:
                    (row,) = case.run(odyssey, alone)
                    assert row.tobytes() == whole[1:2].tobytes(), f"{isa}: {sample}"


def _alone(case, call, batch, i):
    """The call for row i of the batch alone: of each argument that has the batch in front, row i."""
    if case.op == "matmul" and call.args[1].ndim != 2:
        return None
    shared = 1 if case.op in ("matmul", "linear", "conv2d", "conv2d_backward_input") else len(call.args)
    args = []
    for position, value in enumerate(call.args):
        if isinstance(value, np.ndarray) and position < shared:
            value = value[i : i + 1]
        elif isinstance(value, tuple) and value[0] == batch:
            value = (1, *value[1:])
        args.append(value)
    return type(call)(tuple(args), call.kwargs)
