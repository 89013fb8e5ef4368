"""The operations of odyssey over Tensors, with gradients.

The names and arguments are those of the flat namespace; a Tensor, an ndarray or (in elementwise operations) a Python
number may stand for any array argument. Each function's backward stands directly below it, in the file of its family.
"""

from odyssey.nn.functional.activations import (
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    leaky_relu,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from odyssey.nn.functional.attention import rotary_embedding, scaled_dot_product_attention
from odyssey.nn.functional.conv import conv2d, conv_transpose2d
from odyssey.nn.functional.dropout import dropout
from odyssey.nn.functional.elementwise import (
    add,
    axpy,
    clip,
    cos,
    divide,
    erf,
    exp,
    fma,
    log,
    log2,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    reciprocal,
    scale,
    sin,
    sqrt,
    subtract,
)
from odyssey.nn.functional.embedding import embedding
from odyssey.nn.functional.hyper import expand_streams, hyper_head, hyper_post, hyper_pre
from odyssey.nn.functional.linear import dot, linear, matmul
from odyssey.nn.functional.losses import cross_entropy, mse_loss
from odyssey.nn.functional.norms import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from odyssey.nn.functional.pooling import avg_pool2d, global_avg_pool2d, max_pool2d
from odyssey.nn.functional.reductions import logsumexp, max, mean, min, norm, sum, var
from odyssey.nn.functional.shape import flatten, getitem, reshape, transpose
from odyssey.nn.functional.softmax import log_softmax, softmax
from odyssey.nn.functional.transport import sinkhorn, sinkhorn_knopp

__all__ = [
    "add",
    "avg_pool2d",
    "axpy",
    "batch_norm",
    "clip",
    "conv2d",
    "conv_transpose2d",
    "cos",
    "cross_entropy",
    "divide",
    "dot",
    "dropout",
    "elu",
    "embedding",
    "erf",
    "exp",
    "expand_streams",
    "flatten",
    "fma",
    "gelu",
    "getitem",
    "global_avg_pool2d",
    "group_norm",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "hyper_head",
    "hyper_post",
    "hyper_pre",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log2",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mish",
    "mse_loss",
    "multiply",
    "negative",
    "norm",
    "power",
    "prelu",
    "reciprocal",
    "relu",
    "relu6",
    "reshape",
    "rms_norm",
    "rotary_embedding",
    "scale",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "sin",
    "sinkhorn",
    "sinkhorn_knopp",
    "softmax",
    "softplus",
    "sqrt",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "var",
]
