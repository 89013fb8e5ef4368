"""Data sets, and the loader that hands them out in batches."""

from odyssey.data.augment import RandomAffine
from odyssey.data.dataset import ArrayDataset, Dataset
from odyssey.data.digits import load_digits
from odyssey.data.idx import load_idx, read_idx
from odyssey.data.images import ImageData, ImageDataset
from odyssey.data.loader import DataLoader

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "Dataset",
    "ImageData",
    "ImageDataset",
    "RandomAffine",
    "load_digits",
    "load_idx",
    "read_idx",
]
