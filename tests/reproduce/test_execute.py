"""From a run to its record: what is wrong in it is said before anything is trained."""

from dataclasses import replace

import pytest

from mixlab.reproduce import Run, execute

RUN = Run("tiny-s0", "ERM", data="digits", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"measure": "mixlab.reproduce.experiments.uncertainty:mesure"},
        {"measure": "mixlab.reproduce.experiments.uncertanty:measure"},
        {"measure": "mixlab.reproduce.experiments.uncertainty:SEEDS"},
        {"measure": "mixlab.reproduce.experiments.uncertainty"},
        {"measure": ".experiments:measure"},
        {"measure": ""},
        {"data": "digit"},
        {"model": "lenett"},
        {"recipe": "dmeo"},
        {"risk": {"name": "empiricle"}},
        {"limit": 1439},
        {"corrupt": 1.5},
    ],
    ids=str,
)
def test_what_is_misspelt_costs_no_training(monkeypatch, change):
    monkeypatch.setattr(execute, "fit", lambda *arguments, **options: pytest.fail("a network was trained"))
    (received,) = change.values()
    wrong = received["name"] if isinstance(received, dict) else received
    with pytest.raises(ValueError, match=f"received.*{wrong}"):
        execute.execute(replace(RUN, **change), "none", "cpu")
