"""What every run on the bench measures on its trained network."""

from __future__ import annotations

from torch import nn

from mixlab.data import Dataset
from mixlab.reproduce.plan import Run
from mixlab.train import predict
from mixlab.train.evaluate import metrics, totals
from mixlab.train.temperature import fit_temperature


def calibration(model: nn.Module, data: Dataset, run: Run) -> dict[str, float]:
    """Loss and calibration error of the test set after a temperature that was fitted on the validation rows.

    Label smoothing and mixing change how sure a network is, and so loss and calibration error; one number undoes most
    of that. What remains is a difference in what the network knows. ``temperature`` is the number; ``scaled_loss`` (in
    nats) and ``scaled_ece`` (in percent) are of the test set with it.
    """
    logits = {
        name: predict(model, split, mean=data.mean, std=data.std)
        for name, split in (("validation", data.validation), ("test", data.test))
    }
    temperature = fit_temperature(logits["validation"], data.validation.labels)
    scaled = metrics(totals(logits["test"] / temperature, data.test.labels))
    return {"temperature": temperature, "scaled_loss": scaled.loss, "scaled_ece": scaled.ece}
