"""Models."""

from odyssey.models.lenet5 import LeNet5

__all__ = ["LeNet5"]
