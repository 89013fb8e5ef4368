"""Models."""

from odyssey.models.decoder import Decoder, DecoderConfig, RopeScaling
from odyssey.models.lenet5 import LeNet5
from odyssey.models.moe import MoEConfig, MoETransformer
from odyssey.models.resnet18 import ResNet18
from odyssey.models.resnet18_names import load_resnet18, resnet18_from, resnet18_state, save_resnet18

__all__ = [
    "Decoder",
    "DecoderConfig",
    "LeNet5",
    "MoEConfig",
    "MoETransformer",
    "ResNet18",
    "RopeScaling",
    "load_resnet18",
    "resnet18_from",
    "resnet18_state",
    "save_resnet18",
]
