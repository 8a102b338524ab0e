"""Data: names to tensors, honest splits, and loaders that augment where the data lies."""

from mixlab.data.augment import normalise
from mixlab.data.batch import Batch
from mixlab.data.corruption import corrupt_labels
from mixlab.data.load import load
from mixlab.data.loader import Loader
from mixlab.data.registry import SOURCES
from mixlab.data.shapes import draw_shapes
from mixlab.data.split import Dataset, Split
from mixlab.data.streaming import StreamingLoader

__all__ = [
    "SOURCES",
    "Batch",
    "Dataset",
    "Loader",
    "Split",
    "StreamingLoader",
    "corrupt_labels",
    "draw_shapes",
    "load",
    "normalise",
]
