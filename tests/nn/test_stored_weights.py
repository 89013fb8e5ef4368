"""StoredWeight: products and rows of narrow weights are those of the widened ones, to the bit; they are not trained."""

import doctest

import ml_dtypes
import numpy as np
import pytest

import odyssey as od
from odyssey import nn
from odyssey.errors import DTypeError, ShapeError
from odyssey.nn.stored import named_stored_weights

F = nn.functional
rng = np.random.default_rng(3)
WIDE = rng.normal(size=(7, 5)).astype(np.float32)
KINDS = {
    "float32": WIDE,
    "float16": WIDE.astype(np.float16),
    "bfloat16": WIDE.astype(ml_dtypes.bfloat16),
    "int8": od.pack(WIDE, "int8"),
    "packed bfloat16": od.pack(WIDE, "bfloat16"),
    "packed float16": od.pack(WIDE, "float16"),
}


def exact(value):
    """The numbers that are stored."""
    return value.unpack() if isinstance(value, od.PackedWeight) else value.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_linear_has_the_bits_of_the_widened_weights(kind, activation):
    value, bias = KINDS[kind], rng.normal(size=7).astype(np.float32)
    x = rng.normal(size=(2, 3, 5)).astype(np.float32)
    found = F.linear(x, nn.StoredWeight(value), bias, activation)
    # int8 sums its integers first: the packed weight is its own measure
    expected = od.linear(x, value if isinstance(value, od.PackedWeight) else exact(value), bias, activation)
    assert np.array_equal(found.data, expected)
    assert not found.requires_grad


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_the_gradients_of_x_and_bias_are_those_of_the_widened_weights(kind, activation):
    wide, grad = exact(KINDS[kind]), rng.normal(size=(2, 3, 7)).astype(np.float32)
    gradients = []
    for weight in (nn.StoredWeight(KINDS[kind]), wide):
        x = od.Tensor(np.linspace(-1, 1, 30, dtype=np.float32).reshape(2, 3, 5), requires_grad=True)
        bias = od.Tensor(np.linspace(-1, 1, 7, dtype=np.float32), requires_grad=True)
        F.linear(x, weight, bias, activation).backward(grad)
        gradients.append((x.grad, bias.grad))
    for found, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_no_gradient_is_computed_where_none_is_wanted():
    x = od.Tensor(np.ones((1, 5), np.float32), requires_grad=True)
    F.linear(x, nn.StoredWeight(WIDE), np.zeros(7, np.float32)).sum().backward()
    np.testing.assert_allclose(x.grad, WIDE.sum(0, keepdims=True), rtol=1e-6)
    bias = od.Tensor(np.zeros(7, np.float32), requires_grad=True)
    F.linear(x.detach(), nn.StoredWeight(WIDE), bias).sum().backward()
    assert bias.grad.tolist() == [1.0] * 7


@pytest.mark.parametrize("kind", KINDS)
def test_embedding_gives_the_widened_rows(kind):
    indices = np.array([[6, 0], [3, 3]])
    found = F.embedding(nn.StoredWeight(KINDS[kind]), indices)
    assert found.dtype == np.float32
    assert np.array_equal(found.data, exact(KINDS[kind])[indices])


@pytest.mark.parametrize("index", [7, -1])
def test_embedding_refuses_an_index_that_is_no_row(index):
    with pytest.raises(IndexError, match=rf"\[0, 7\); found {index} at \(1, 0\)"):
        F.embedding(nn.StoredWeight(KINDS["bfloat16"]), np.array([[0], [index]]))


def test_packed_rows_of_many_panels_are_those_of_the_whole():
    wide = rng.normal(size=(150, 9)).astype(np.float32)
    for dtype in ("float32", "bfloat16", "float16", "int8"):
        packed = od.pack(wide, dtype)
        indices = np.array([149, 0, 63, 64, 128])
        assert np.array_equal(packed.rows(indices), packed.unpack()[indices])
    double = od.pack(wide.astype(np.float64))
    assert np.array_equal(double.rows(np.array([149])), double.unpack()[[149]])


def test_layers_hold_them_and_do_not_train_them():
    model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7), nn.Linear(7, 2))
    model[0].weight = nn.StoredWeight(KINDS["bfloat16"])
    model[1].weight = nn.StoredWeight(KINDS["int8"])
    assert [name for name, _ in model.named_parameters()] == ["1.bias", "2.weight", "2.bias"]
    assert [(name, one.dtype) for name, one in named_stored_weights(model)] == [
        ("0.weight", "bfloat16"),
        ("1.weight", "int8"),
    ]
    assert [name for name, _ in named_stored_weights(model[0])] == ["weight"]
    model(np.array([[1, 2]])).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert "bfloat16" in repr(model[0].weight)


def test_a_batch_norm_leaves_one_alone():
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7)).eval()
    model[0].weight = nn.StoredWeight(KINDS["bfloat16"])
    x = rng.normal(size=(3, 5)).astype(np.float32)
    assert np.array_equal(nn.fold_batch_norm(model)(x).data, model(x).data)


def test_several_matrices_are_a_stack_or_a_sequence():
    matrices = [rng.normal(size=(4, 3)).astype(ml_dtypes.bfloat16) for _ in range(3)]
    listed, stacked = nn.StoredWeight(matrices), nn.StoredWeight(np.stack(matrices), "native")
    for one in (listed, stacked):
        assert (one.shape, one.ndim, one.dtype, one.nbytes) == ((3, 4, 3), 3, "bfloat16", 72)
        assert [m.tolist() for m in one.matrices()] == [m.tolist() for m in matrices]
        assert np.array_equal(one.widened(), np.stack(matrices).astype(np.float32))
        with pytest.raises(ShapeError, match="one matrix"):
            one.matrix()
    assert (listed.precision, stacked.precision) == ("exact", "native")
    assert nn.StoredWeight(WIDE).matrices()[0] is WIDE


def test_what_is_no_weight_is_refused():
    with pytest.raises(ValueError, match="'exact' or 'native'"):
        nn.StoredWeight(WIDE, "quick")
    with pytest.raises(DTypeError, match="float64"):
        nn.StoredWeight(WIDE.astype(np.float64))
    with pytest.raises(DTypeError, match="float32 and narrower"):
        nn.StoredWeight(od.pack(WIDE.astype(np.float64)))
    with pytest.raises(ShapeError, match="experts"):
        nn.StoredWeight(WIDE[0])
    for value in ([], [WIDE, WIDE[:3]], [WIDE, KINDS["bfloat16"]], [WIDE[None]]):
        with pytest.raises(ShapeError, match="one shape and type"):
            nn.StoredWeight(value)
    with pytest.raises(ShapeError, match="one matrix"):
        F.linear(WIDE, nn.StoredWeight([WIDE]))


def test_its_examples_run():
    assert doctest.testmod(nn.stored).failed == 0
