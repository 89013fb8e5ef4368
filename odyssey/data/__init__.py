"""Data sets, the loader that hands them out in batches, and what happens to these on the way."""

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
