"""Data sets, the loader that hands them out in batches, and what happens to these on the way.

Each is loaded when it is first asked for: who reads text needs nothing for images.
"""

from typing import TYPE_CHECKING

from odyssey.lazy import lazy

if TYPE_CHECKING:
    from odyssey.data.augment import RandomAffine
    from odyssey.data.cifar import load_cifar
    from odyssey.data.dataset import ArrayDataset, Dataset
    from odyssey.data.digits import load_digits
    from odyssey.data.folder import ImageFolder
    from odyssey.data.idx import load_idx, read_idx
    from odyssey.data.images import ImageData, ImageDataset
    from odyssey.data.loader import DataLoader
    from odyssey.data.samplers import (
        RandomSampler,
        Sampler,
        SequentialSampler,
        ShardSampler,
        StratifiedSampler,
        WeightedSampler,
    )
    from odyssey.data.transforms import Compose, Cutout, Normalize, RandomCrop, RandomErasing, RandomHorizontalFlip

__all__ = [
    "ArrayDataset",
    "Compose",
    "Cutout",
    "DataLoader",
    "Dataset",
    "ImageData",
    "ImageDataset",
    "ImageFolder",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "ShardSampler",
    "StratifiedSampler",
    "WeightedSampler",
    "load_cifar",
    "load_digits",
    "load_idx",
    "read_idx",
]

_NAMES = {
    "ArrayDataset": "odyssey.data.dataset",
    "Compose": "odyssey.data.transforms",
    "Cutout": "odyssey.data.transforms",
    "DataLoader": "odyssey.data.loader",
    "Dataset": "odyssey.data.dataset",
    "ImageData": "odyssey.data.images",
    "ImageDataset": "odyssey.data.images",
    "ImageFolder": "odyssey.data.folder",
    "Normalize": "odyssey.data.transforms",
    "RandomAffine": "odyssey.data.augment",
    "RandomCrop": "odyssey.data.transforms",
    "RandomErasing": "odyssey.data.transforms",
    "RandomHorizontalFlip": "odyssey.data.transforms",
    "RandomSampler": "odyssey.data.samplers",
    "Sampler": "odyssey.data.samplers",
    "SequentialSampler": "odyssey.data.samplers",
    "ShardSampler": "odyssey.data.samplers",
    "StratifiedSampler": "odyssey.data.samplers",
    "WeightedSampler": "odyssey.data.samplers",
    "load_cifar": "odyssey.data.cifar",
    "load_digits": "odyssey.data.digits",
    "load_idx": "odyssey.data.idx",
    "read_idx": "odyssey.data.idx",
}

__getattr__, __dir__ = lazy(globals(), _NAMES)
