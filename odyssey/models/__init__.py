"""Models."""

from odyssey.models.lenet5 import LeNet5
from odyssey.models.resnet18 import ResNet18
from odyssey.models.resnet18_names import load_resnet18, resnet18_from, resnet18_state, save_resnet18

__all__ = ["LeNet5", "ResNet18", "load_resnet18", "resnet18_from", "resnet18_state", "save_resnet18"]
