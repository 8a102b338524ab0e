"""Distillation: what a teacher knows, for a student. Labels, softened answers and features.

A `Teacher` is a frozen network. A student learns from it by a risk: `DistillationRisk` (labels and divergences, on
natural images and on mixed ones) or `CRDRisk` (features, by contrast). Mixed images come from a mixer at each step, or
from a folder that `write_mixed` fills, as a mixer that optimises, such as `SuperMix`, is too slow for a training step.
"""

from mixlab.distill.writer import write_mixed
from mixlab.models import Teacher
from mixlab.risk import CRDRisk, DistillationRisk

__all__ = ["CRDRisk", "DistillationRisk", "Teacher", "write_mixed"]
