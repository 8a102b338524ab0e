"""Importing the library is cheap: what only training, figures, tables or the command need is loaded by them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIGHTNING = ("lightning", "lightning_fabric", "lightning_utilities", "pytorch_lightning", "torchmetrics")
PICTURES = ("matplotlib", "seaborn", "skimage")
TABLES = ("pandas", "sklearn", "scipy")
COMMANDS = ("typer", "rich", "tensorboard")
NOTEBOOKS = ("IPython", "ipykernel", "nbformat", "nbclient", "jupyter_book")
PEERS = ("timm", "kornia", "captum")
HEAVY = {*LIGHTNING, *PICTURES, *TABLES, *COMMANDS, *NOTEBOOKS, *PEERS}

# Runs in a fresh interpreter: in this one, other tests have loaded everything.
PROBE = """
import importlib, json, sys
for name in sys.argv[1].split():
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _loaded(modules: str) -> set[str]:
    """The top-level packages in a new interpreter's memory after it has imported ``modules``."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, modules], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(answer.stdout))


CORE = "mixlab mixlab.mixers mixlab.risk mixlab.models mixlab.data"


@pytest.mark.parametrize("modules", [CORE, f"{CORE} mixlab.train"], ids=["core", "train"])
def test_importing_loads_nothing_heavy(modules):
    loaded = _loaded(modules)
    assert {"mixlab", "torch"} <= loaded
    assert loaded & HEAVY == set()


def test_the_probe_sees_what_is_loaded():
    """Without this control, a probe that looks at nothing would find every import light."""
    assert "lightning" in _loaded("mixlab lightning.fabric")


def test_one_place_opens_pickles():
    """That of CIFAR's own files, after their checksum matched."""
    opened = re.compile(r"pickle\.loads?\(|Unpickler\(|weights_only=False|allow_pickle=True")
    found = [path.name for path in (ROOT / "mixlab").rglob("*.py") if opened.search(path.read_text())]
    assert found == ["cifar.py"]


def test_one_import_gives_the_mix_the_mixers_and_the_priors():
    code = "import mixlab; print(mixlab.Mix.__name__, mixlab.mixers.CutMix.__name__, mixlab.priors.beta.__name__)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["Mix", "CutMix", "beta"]
