"""Bayesian readings of mixing: predictive distributions over what is drawn, how well they find errors, and scores."""

from mixlab.bayes.composites import Composites, blended_composites, companion_rows, nested_composites
from mixlab.bayes.detection import entropy, error_auroc, least_confidence
from mixlab.bayes.predictive import Predictive, predictive
from mixlab.bayes.scores import Scores, composite_losses, merged, score, surroundings
from mixlab.bayes.views import view_predictive

__all__ = [
    "Composites", "Predictive", "Scores", "blended_composites", "companion_rows", "composite_losses", "entropy",
    "error_auroc", "least_confidence", "merged", "nested_composites", "predictive", "score", "surroundings",
    "view_predictive",
]
