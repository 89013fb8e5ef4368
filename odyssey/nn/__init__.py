"""Neural-network layers, losses and initialisers.

`functional` has the operations; a layer is an operation with its parameters. `Module` finds parameters by walking its
attributes, so a layer is an ordinary class: assign Parameters and Modules to `self`, define `forward`.
"""

from odyssey.nn import functional, init
from odyssey.nn.activations import (
    ELU,
    GELU,
    SELU,
    HardSigmoid,
    HardSwish,
    HardTanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from odyssey.nn.containers import Sequential
from odyssey.nn.conv import Conv2d, ConvTranspose2d
from odyssey.nn.dropout import Dropout
from odyssey.nn.embedding import Embedding
from odyssey.nn.fold import Foldable, FrozenConv2d, fold_batch_norm
from odyssey.nn.hyper import HyperConnection, HyperHead, ResidualAdd, residual
from odyssey.nn.linear import Flatten, Linear
from odyssey.nn.losses import CrossEntropyLoss, MSELoss
from odyssey.nn.module import Buffer, Module, Parameter
from odyssey.nn.norms import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm, RMSNorm
from odyssey.nn.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Foldable",
    "FrozenConv2d",
    "GlobalAvgPool2d",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "HyperConnection",
    "HyperHead",
    "InstanceNorm2d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "Module",
    "PReLU",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "ResidualAdd",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "fold_batch_norm",
    "functional",
    "init",
    "residual",
]
