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
from odyssey.nn.linear import Flatten, Linear
from odyssey.nn.losses import CrossEntropyLoss, MSELoss
from odyssey.nn.module import Module, Parameter
from odyssey.nn.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AvgPool2d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Flatten",
    "GlobalAvgPool2d",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "Module",
    "PReLU",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional",
    "init",
]
