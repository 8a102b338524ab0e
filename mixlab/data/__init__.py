"""Data: names to tensors, honest splits, and loaders that keep a small set on the device."""

from mixlab.data.load import load
from mixlab.data.loader import Loader
from mixlab.data.registry import SOURCES
from mixlab.data.split import Dataset, Split

__all__ = ["SOURCES", "Dataset", "Loader", "Split", "load"]
