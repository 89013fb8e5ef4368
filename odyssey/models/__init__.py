"""Models."""

from odyssey.models.lenet5 import LeNet5
from odyssey.models.resnet18 import ResNet18

__all__ = ["LeNet5", "ResNet18"]
