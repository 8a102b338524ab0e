"""Risks: what is minimised. A mixer is what is drawn; a risk says which loss its draws are put into.

A risk is an `nn.Module` with `risk(model, (images, labels), generator=g) -> loss`. What it learns or remembers are its
parameters and buffers, so it is optimised and checkpointed like any module; its other attributes are what it was built
with and stay as they are. One file per objective.
"""

from mixlab.risk.empirical import EmpiricalRisk
from mixlab.risk.loss import soft_cross_entropy
from mixlab.risk.manifold import ManifoldRisk
from mixlab.risk.registry import build_risk
from mixlab.risk.vicinal import VicinalRisk
from mixlab.risk.vicinity import SampledRisk

__all__ = ["EmpiricalRisk", "ManifoldRisk", "SampledRisk", "VicinalRisk", "build_risk", "soft_cross_entropy"]
