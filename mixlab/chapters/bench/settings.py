"""The two settings in which the chapters compare methods: what a run of each is."""

from __future__ import annotations

from mixlab.reproduce.plan import Run

#: Small sets and long training: 50 images a class, and epochs enough that a network without mixing has fitted them by
#: half-time. Validation rows are measured at half-time and at the end, so 2 % of the set are affordable.
SETTINGS = {
    "grey": {"data": "fashion-mnist", "limit": 500, "validation": 0.02, "model": "bench-net", "recipe": "bench-grey"},
    "colour": {"data": "cifar100-coarse", "limit": 1000, "validation": 0.02, "model": "bench-net",
               "recipe": "bench-colour"},
}


def bench_run(setting: str, name: str, row: str, risk: dict, seed: int, budget: str = "cpu", **changes) -> Run:
    """One run on the bench.

    Args:
        setting: "grey" (Fashion-MNIST) or "colour" (CIFAR-100's 20 superclasses).
        name: of its record, without setting and seed, which are added.
        row: what tables call it.
        risk: see `mixlab.risk.build_risk`.
        seed: it draws rows, initial weights, order, augmentation and mixing, each from a stream of its own, so runs of
            one seed pair whatever the risk.
        budget: "cpu" trains on the CPU, others where there is a GPU.
        changes: other fields of `Run`, e.g. `epochs` or `measure`.

    Raises:
        ValueError: for another setting.

    Example:
        >>> run = bench_run("grey", "erm", "no mixing", {"name": "empirical"}, seed=0)
        >>> run.name, run.data, run.limit
        ('grey-erm-s0', 'fashion-mnist', 500)
    """
    if setting not in SETTINGS:
        raise ValueError(f"expected a setting of {', '.join(SETTINGS)}, received {setting!r}")
    device = "cpu" if budget == "cpu" else "auto"
    shared = SETTINGS[setting] | {"device": device, "measure": "calibration"} | changes
    return Run(f"{setting}-{name}-s{seed}", row, risk=risk, seed=seed, **shared)


def weights(setting: str) -> int:
    """How many parameters the network of a setting has.

    Example:
        >>> weights("grey"), weights("colour")
        (126904, 127736)
    """
    from mixlab.data.registry import find
    from mixlab.models import build

    source = find(SETTINGS[setting]["data"])
    network = build(SETTINGS[setting]["model"], len(source.classes), in_channels=source.shape[0])
    return sum(parameter.numel() for parameter in network.parameters())
