"""Mixers: one file a family, each with its method card."""

from mixlab.mixers.base import Mixer, PartnerMixer
from mixlab.mixers.comixup import CoMixup
from mixlab.mixers.compose import OneOf, PerSample, Sometimes
from mixlab.mixers.controls import DistinctPredictions, ShuffledMasks
from mixlab.mixers.dropout import Cutout, GridMask
from mixlab.mixers.lamix import Average, Relabelled
from mixlab.mixers.linear import SMOTE, DMixup, Identity, Mixup
from mixlab.mixers.manifold import ManifoldMixup
from mixlab.mixers.puzzlemix import PuzzleMix
from mixlab.mixers.regional import CutMix, DCutMix, PastedCutMix, UnclippedCutMix
from mixlab.mixers.registry import MIXERS, from_config, to_config
from mixlab.mixers.supermix import SuperMix, distinct_partners

__all__ = [
    "MIXERS",
    "SMOTE",
    "Average",
    "CoMixup",
    "CutMix",
    "Cutout",
    "DCutMix",
    "DMixup",
    "DistinctPredictions",
    "GridMask",
    "Identity",
    "ManifoldMixup",
    "Mixer",
    "Mixup",
    "OneOf",
    "PartnerMixer",
    "PastedCutMix",
    "PerSample",
    "PuzzleMix",
    "Relabelled",
    "ShuffledMasks",
    "Sometimes",
    "SuperMix",
    "UnclippedCutMix",
    "distinct_partners",
    "from_config",
    "to_config",
]
