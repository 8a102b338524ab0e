"""The sample generator: a network that changes images until a frozen classifier finds a given soft label in them.

`soft_labels` draws the labels μ, `ConditionalUNet` is the network q_V(x, μ), `train_generator` trains it against a
classifier (eq. 11), and `SampleGenerator` is what comes of it, frozen, with a file. A student learns from its images by
`mixlab.risk.GeneratedRisk` (eq. 12). `probe` says what a generator does to images.

Source: Jeong et al., "Bayesian perspective on visual data augmentation for efficient utilization of sub-sampled data",
section 3.2 and appendix A.
"""

from mixlab.generator.controls import noisy, perturbed
from mixlab.generator.law import divergence, entropy_of_law, kl_of_ignorant, soft_labels
from mixlab.generator.probes import probe
from mixlab.generator.stored import SampleGenerator
from mixlab.generator.train import RECIPES, GeneratorTask, generator_loss, train_generator
from mixlab.generator.unet import ConditionalUNet

__all__ = [
    "RECIPES",
    "ConditionalUNet",
    "GeneratorTask",
    "SampleGenerator",
    "divergence",
    "entropy_of_law",
    "generator_loss",
    "kl_of_ignorant",
    "noisy",
    "perturbed",
    "probe",
    "soft_labels",
    "train_generator",
]
