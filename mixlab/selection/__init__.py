"""Which part of the data to keep: by scores from mixing or without, as rows, as files, and as what is trained on."""

from mixlab.selection.baselines import (
    dyn_unc,
    dynamics,
    el2n,
    entropy,
    forgetting,
    grand,
    herding,
    k_center,
    margin,
)
from mixlab.selection.policies import DRAWN, POLICIES, choose, select
from mixlab.selection.subsets import apply_subset, provenance, read_subset, write_subset

__all__ = [
    "DRAWN", "POLICIES", "apply_subset", "choose", "dyn_unc", "dynamics", "el2n", "entropy", "forgetting", "grand",
    "herding", "k_center", "margin", "provenance", "read_subset", "select", "write_subset",
]
