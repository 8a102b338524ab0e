"""Risks: what is minimised. A mixer is what is drawn; a risk says which loss its draws are put into.

A risk is a module with `risk(model, batch, step=s, generator=g) -> loss`, see `Risk`. One file per objective.
"""

from mixlab.risk.base import Risk
from mixlab.risk.crd import CRDRisk
from mixlab.risk.distillation import DistillationRisk
from mixlab.risk.empirical import EmpiricalRisk
from mixlab.risk.generated import GeneratedRisk
from mixlab.risk.lamix import LaMixRisk
from mixlab.risk.loss import SoftCrossEntropy, soft_cross_entropy
from mixlab.risk.manifold import ManifoldRisk
from mixlab.risk.registry import build_risk
from mixlab.risk.saliency import SaliencyRisk
from mixlab.risk.vicinal import VicinalRisk
from mixlab.risk.vicinity import SampledRisk

__all__ = [
    "CRDRisk",
    "DistillationRisk",
    "EmpiricalRisk",
    "GeneratedRisk",
    "LaMixRisk",
    "ManifoldRisk",
    "Risk",
    "SaliencyRisk",
    "SampledRisk",
    "SoftCrossEntropy",
    "VicinalRisk",
    "build_risk",
    "soft_cross_entropy",
]
