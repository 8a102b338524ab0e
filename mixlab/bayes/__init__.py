"""Bayesian readings of mixing: predictive distributions over what is drawn, and how well they find errors."""

from mixlab.bayes.composites import Composites, blended_composites, nested_composites
from mixlab.bayes.detection import entropy, error_auroc, least_confidence
from mixlab.bayes.predictive import Predictive, predictive
from mixlab.bayes.views import view_predictive

__all__ = [
    "Composites", "Predictive", "blended_composites", "entropy", "error_auroc", "least_confidence", "nested_composites",
    "predictive", "view_predictive",
]
