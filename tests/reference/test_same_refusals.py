"""What an operation refuses, its definition refuses too, with an error of the same kind: one table of wrong calls for both."""

import numpy as np
import pytest

import odyssey as od
from odyssey import reference
from odyssey.errors import DTypeError, LayoutError, ShapeError

INDICES = np.int64([0, 1])


def f(*shape):
    """Numbers in [0, 1) of this shape."""
    return np.random.default_rng(0).random(shape, np.float32)


def d(*shape):
    """The same in float64."""
    return f(*shape).astype(np.float64)


def hyper(**changed):
    """The arguments of hyper_pre: 2 streams of 4 elements, 3 tokens."""
    return {"x": f(3, 2, 4), "fn": f(8, 8), "base": f(8), "scale": f(3), **changed}


def post(**changed):
    return {"f": f(3, 4), "x": f(3, 2, 4), "post": f(3, 2), "comb": f(3, 2, 2), **changed}


A = np.float32([0.5, 0.5])
WRONG = [
    ("sum", (f(), 0), {}, ShapeError),
    ("argmax", (f(), 0), {}, ShapeError),
    ("max_backward", (f(3), f(2, 4), 1), {}, ShapeError),
    ("norm_backward", (f(2), f(2, 4), f(3), 1), {}, ShapeError),
    ("var_backward", (f(3), f(2, 4), 1), {}, ShapeError),
    # attention
    ("scaled_dot_product_attention", (f(2, 4), f(3, 4), f(5, 4)), {}, ShapeError),
    ("scaled_dot_product_attention", (f(3, 2, 4), f(2, 3, 4), f(2, 3, 4)), {}, ShapeError),
    ("scaled_dot_product_attention", (f(2, 4), f(3, 4), f(3, 4), d(2, 3)), {}, DTypeError),
    ("scaled_dot_product_attention", (f(2, 4), f(3, 4), f(3, 4), f(4, 3)), {}, ShapeError),
    ("scaled_dot_product_attention_backward", (d(2, 4), f(2, 4), f(3, 4), f(3, 4)), {}, DTypeError),
    ("scaled_dot_product_attention_backward", (f(2, 5), f(2, 4), f(3, 4), f(3, 4)), {}, ShapeError),
    # windows
    ("conv2d", (f(1, 2, 5, 5), f(3, 2, 3, 3)), {"stride": 0}, ShapeError),
    ("conv2d", (f(1, 2, 5, 5), f(3, 2, 3, 3)), {"padding": -1}, ShapeError),
    ("conv2d_backward_weight", (f(1, 3, 2, 2), f(1, 2, 5, 5), (3, 2, 3, 3)), {}, ShapeError),
    ("conv_transpose2d", (f(2, 5, 5), f(2, 3, 3, 3)), {}, ShapeError),
    ("conv_transpose2d", (f(1, 3, 5, 5), f(2, 3, 3, 3)), {}, ShapeError),
    ("conv_transpose2d", (f(1, 2, 5, 5), f(2, 3, 3, 3)), {"output_padding": 1}, ShapeError),
    ("conv_transpose2d", (f(1, 2, 2, 2), f(2, 3, 1, 1)), {"padding": 1}, ShapeError),
    ("conv_transpose2d_backward_input", (f(1, 3, 2, 2), f(2, 3, 3, 3), (1, 2, 5, 5)), {}, ShapeError),
    ("max_pool2d", (f(2, 5, 5), 2), {}, ShapeError),
    ("global_avg_pool2d_backward", (f(1, 2, 2, 1), (1, 2, 5, 5)), {}, ShapeError),
    ("filter2d", (f(5, 5), f(3, 3)), {"border": "moebius"}, ValueError),
    ("filter2d_backward_kernel", (f(5, 4), f(5, 5), (3, 3)), {}, ShapeError),
    # losses and lookups
    ("cross_entropy", (f(2, 3), INDICES), {"weight": f(2)}, ShapeError),
    ("cross_entropy", (f(2, 3), INDICES), {"label_smoothing": 1.5}, ValueError),
    ("cross_entropy_backward", (f(2), f(2, 3), INDICES), {}, ShapeError),
    ("embedding", (f(3), INDICES), {}, ShapeError),
    ("embedding", (f(3, 2), INDICES.astype(np.uint8)), {}, DTypeError),
    ("embedding", (f(3, 2), np.int64([[0, 3]])), {}, IndexError),
    ("embedding", (f(3, 2), np.int64([-4])), {}, IndexError),
    ("embedding_backward", (f(2, 4), INDICES, -1), {}, ShapeError),
    ("embedding_backward", (f(3, 4), INDICES, 3), {}, ShapeError),
    ("embedding_backward", (f(2, 4), INDICES, 3), {"padding_idx": 3}, IndexError),
    # distances
    ("pairwise_distance", (f(2, 3), f(2, 4)), {}, ShapeError),
    ("pairwise_distance", (f(2, 3),), {"metric": "taxi"}, ValueError),
    ("pairwise_distance_backward", (f(2, 3), f(2, 3), f(2, 3)), {}, ShapeError),
    ("euclidean_distance", (f(2, 3), f(4, 3)), {}, ShapeError),
    ("euclidean_distance_backward", (f(3), f(2, 3), f(2, 3)), {}, ShapeError),
    ("poincare_distance", (f(2, 3) / 4, f(2, 3) / 4), {"c": -1.0}, ValueError),
    ("poincare_distance", (f(2, 3) / 4, f(2, 3) / 4), {"outside": "shrug"}, ValueError),
    ("poincare_distance", (f(2, 3) + 1, f(2, 3) / 4), {}, ValueError),
    ("spherical_distance", (f(2, 3), f(2, 3)), {"zero": "shrug"}, ValueError),
    ("spherical_distance", (f(2, 3), np.zeros((2, 3), np.float32)), {}, ValueError),
    ("project_to_ball", (f(2, 3),), {"eps": 1.0}, ValueError),
    ("mobius_add", (f(2, 3) / 4, f(4, 3) / 4), {}, ShapeError),
    ("mobius_add", (f(2, 3) + 1, f(2, 3) / 4), {}, ValueError),
    # hyper-connections
    ("hyper_pre", (), hyper(x=f(3, 9, 4)), ShapeError),
    ("hyper_pre", (), hyper(fn=f(8, 7)), ShapeError),
    ("hyper_pre", (), hyper(base=d(8)), DTypeError),
    ("hyper_pre", (), hyper(iterations=0), ValueError),
    ("hyper_pre", (), hyper(variant="prose"), ValueError),
    ("hyper_pre_backward", (f(3, 5), None, None), hyper(mix=f(3, 9)), ShapeError),
    ("hyper_post", (), post(post=f(3, 3)), ShapeError),
    ("hyper_post", (), post(comb=d(3, 2, 2)), DTypeError),
    ("hyper_post_backward", (f(3, 2, 5),), post(), ShapeError),
    # products
    ("linear", (f(2, 3), f(4, 3)), {"precision": "rough"}, ValueError),
    ("pack", (np.ones((2, 2), np.int32),), {}, DTypeError),
    ("pack", (f(2, 2), "int3"), {}, ValueError),
    ("pack", (d(2, 2), "int8"), {}, DTypeError),
    ("pack", (f(2, 2), "float64"), {}, DTypeError),
    ("pack", (f(2),), {}, ShapeError),
    ("pack", (np.float32([[np.nan]]), "int8"), {}, ValueError),
    # norms
    ("batch_norm", (f(1, 3), None, None), {"training": True}, ShapeError),
    ("batch_norm", (f(4, 3), None, f(3)), {}, ValueError),
    ("batch_norm", (f(3), None, None), {"training": True}, ShapeError),
    ("batch_norm", (f(4, 3), f(2), f(3)), {}, ShapeError),
    ("batch_norm", (f(4, 3), b"123", b"123"), {"training": True}, (LayoutError, DTypeError)),
    ("batch_norm_backward", (f(4, 2), f(4, 3), None, None), {"training": True}, ShapeError),
    ("group_norm", (f(2, 4, 3), 3), {}, ShapeError),
    ("group_norm", (f(2, 4, 3), 0), {}, ShapeError),
    ("instance_norm", (f(2, 4),), {}, ShapeError),
    ("fold_batch_norm", (f(3, 2), None, f(2), f(3)), {}, ShapeError),
    ("rms_norm", (f(),), {}, ShapeError),
    ("layer_norm", (f(2, 3), f(2)), {}, ShapeError),
    ("rms_norm_backward", (f(2, 4), f(2, 3)), {}, ShapeError),
    # optimizers
    ("rmsprop_step", (f(3), f(3), f(3)), {"alpha": 2.0}, ValueError),
    ("rmsprop_step", (f(3), f(3), f(3)), {"momentum": 0.9}, ValueError),
    ("adam_step", (f(3), f(3), f(3), f(3), 0), {}, ValueError),
    ("lars_step", (f(3), f(3)), {"momentum": 0.9}, ValueError),
    ("clip_grad_norm", ([f(3)], -1.0), {}, ValueError),
    ("clip_grad_norm", ([[1.0]], 1.0), {}, (LayoutError, TypeError)),
    # rotary
    ("rotary_tables", (-1, 4), {}, ValueError),
    ("rotary_tables", (2, 3), {}, ValueError),
    ("rotary_tables", (2, 4), {"dtype": np.float16}, DTypeError),
    ("rotary_embedding", (f(2, 4), f(3, 2), f(3, 2)), {}, ShapeError),
    ("rotary_embedding", (f(2, 4), f(2, 3), f(2, 3)), {}, ShapeError),
    # sampling
    ("topk_sample", (f(2, 4), 0), {}, ValueError),
    ("topp_sample", (f(2, 4), 0.0), {}, ValueError),
    ("sample", (f(2, 2, 4),), {}, ShapeError),
    ("sample", (f(2, 0),), {}, ValueError),
    ("sample", (f(2, 4), -1.0), {}, ValueError),
    ("sample", (np.float32([1, np.nan]),), {}, ValueError),
    ("sample", (np.float32([-np.inf, -np.inf]),), {}, ValueError),
    # transport
    ("sinkhorn_knopp", (f(3),), {}, ShapeError),
    ("sinkhorn_knopp", (f(3, 3),), {"iterations": 0}, ValueError),
    ("sinkhorn_knopp", (f(3, 3),), {"eps": -1.0}, ValueError),
    ("sinkhorn_knopp", (f(3, 3),), {"tau": 0.0}, ValueError),
    ("sinkhorn_knopp", (f(3, 3),), {"order": "spiral"}, ValueError),
    ("sinkhorn_knopp", (f(3, 3),), {"damping": -1.0}, ValueError),
    ("sinkhorn_knopp_backward", (f(3, 3), f(3, 3)), {"method": "guess"}, ValueError),
    ("sinkhorn", (A, A, f(2, 3), 0.1), {}, ShapeError),
    ("sinkhorn", (-A, A, f(2, 2), 0.1), {}, ValueError),
    ("sinkhorn", (A, A, np.float32([[0, np.inf], [0, 0]]), 0.1), {}, ValueError),
    ("sinkhorn", (2 * A, A, f(2, 2), 0.1), {}, ValueError),
    ("sinkhorn", (A, A, f(2, 2), 0.0), {}, ValueError),
    ("sinkhorn", (A, A, f(2, 2), 0.1, 0.0), {}, ValueError),
    ("sinkhorn", (A, A, f(2, 2), 0.1), {"iterations": 0}, ValueError),
    ("sinkhorn", (A, A, f(2, 2), 0.1), {"tolerance": -1.0}, ValueError),
]


@pytest.mark.parametrize("side", [od, reference], ids=["kernel", "definition"])
@pytest.mark.parametrize(
    ("op", "args", "kwargs", "error"), [pytest.param(*row, id=f"{row[0]}-{i}") for i, row in enumerate(WRONG)]
)
def test_a_wrong_call_is_refused_with_words(side, op, args, kwargs, error):
    with pytest.raises(error) as raised:
        getattr(side, op)(*args, **kwargs)
    assert len(str(raised.value)) > 15  # it says what was expected


def test_transport_that_does_not_converge_says_so_on_both_sides():
    cost = 50 * f(6, 6)
    weights = np.full(6, np.float32(1 / 6))
    logs = []
    for side in (od, reference):
        with pytest.warns(RuntimeWarning, match="not converged after 1 iterations"):
            plan, log = side.sinkhorn(weights, weights, cost, 0.01, iterations=1, tolerance=1e-9, log=True)
        assert plan.shape == (6, 6)
        assert not log.converged
        logs.append(log.iterations)
    assert logs == [1, 1]


def test_no_gradients_have_no_length():
    assert od.clip_grad_norm([], 1.0) == reference.clip_grad_norm([], 1.0) == 0


def test_residuals_of_the_definition_are_those_of_the_kernel():
    x = f(5, 4, 4)
    for side in (od, reference):
        matrix, residuals = side.sinkhorn_knopp(x, iterations=3, residuals=True)
        np.testing.assert_allclose(residuals[:, 0], np.abs(matrix.sum(-1) - 1).max(-1), atol=1e-6)
        np.testing.assert_allclose(residuals[:, 1], np.abs(matrix.sum(-2) - 1).max(-1), atol=1e-6)


def test_the_parts_of_a_packed_weight_multiply_to_what_it_unpacks_to():
    for side in (od, reference):
        packed = side.pack(f(3, 5), "int8")
        numbers, scale = packed.parts()
        np.testing.assert_array_equal(numbers * scale[:, None], packed.unpack())
