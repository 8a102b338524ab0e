"""The page's tables and numbers, from the records of the experiment `bench`."""

from __future__ import annotations

from collections.abc import Sequence

from mixlab import records
from mixlab.chapters.bench.experiments.bench import EPOCH_SEEDS, ROWS, SEEDS
from mixlab.records import Difference

#: What the table shows of a run: title, column of the records, digits.
COLUMNS = (
    ("error, %", "test_error", 2),
    ("NLL", "test_loss", 3),
    ("NLL, scaled", "scaled_loss", 3),
    ("ECE, %", "test_ece", 1),
    ("training error, half-time, %", "half_time_train_error", 1),
    ("at the end", "train_error", 1),
)
BASELINE = "no mixing"
#: What the panels of a forest plot are called.
TITLES = {"test_error": "error, points", "test_loss": "NLL, nats", "test_ece": "ECE, points"}


def setting(frame, name: str, seeds: Sequence[int] = SEEDS):
    """The records of one setting at its recipe's length.

    Args:
        frame: records of `bench`, see `mixlab.reproduce.load`.
        name: "grey" or "colour".
        seeds: those that are wanted, by default the planned ones.
    """
    if frame.empty:
        return frame
    chosen = frame[frame["run"].str.startswith(f"{name}-") & frame["epochs"].isna() & frame["seed"].isin(seeds)]
    chosen.attrs = dict(frame.attrs)
    return chosen


def primary(frame) -> Difference | None:
    """The primary comparison of one setting: Mixup minus no mixing, error in points; None without records."""
    return records.compared(frame, BASELINE, rows=["Mixup"])["test_error"].get("Mixup")


def differences(frame) -> dict[str, dict[str, Difference]]:
    """The secondary comparisons of one setting: every row but Mixup minus no mixing.

    The error's are the family that was planned; NLL and ECE, which were not, are another one.
    """
    others = [row for row, _ in ROWS.values() if row not in (BASELINE, "Mixup")]
    return {
        **records.compared(frame, BASELINE, "test_error", rows=others),
        **records.compared(frame, BASELINE, ["test_loss", "test_ece"], rows=others),
    }


def summary(frame):
    """One setting as a table: every row with its error, its difference to no mixing, NLL, ECE and training errors.

    The difference of Mixup is the primary comparison and corrected for nothing; the others are a family.
    """
    minus = {**differences(frame)["test_error"], "Mixup": primary(frame)}
    columns = {title: column for title, column, _ in COLUMNS}
    first = dict([next(iter(columns.items()))])
    return records.table(
        frame, first | {f"minus {BASELINE}": {row: each for row, each in minus.items() if each}} | columns,
        rows=[row for row, _ in ROWS.values()], digits={title: digits for title, _, digits in COLUMNS},
    )


def seconds(frame) -> str:
    """What one run takes, from the records: the mean of its wall time, on the machine that made them.

    Example:
        >>> import pandas
        >>> seconds(pandas.DataFrame({"seconds": [60.0, 71.0]}))
        '66 s a run'
    """
    return "no runs on record" if frame.empty else f"{frame['seconds'].mean():.0f} s a run"


def by_epochs(frame) -> dict[str, dict[int, list[tuple[float, float]]]]:
    """Test error and clean training error over the length of training, colour, of the seeds that every length has.

    Returns:
        row -> epochs -> [(test error, training error at the end), ...] in percent, one pair a seed.
    """
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for _, run in frame.iterrows():
        if run["run"].startswith("colour-") and run["row"] in (BASELINE, "CutMix") and run["seed"] in EPOCH_SEEDS:
            lengths = found.setdefault(run["row"], {})
            lengths.setdefault(_epochs(run), []).append((run["test_error"], run["train_error"]))
    return {row: dict(sorted(lengths.items())) for row, lengths in found.items()}


def sign(errors: dict[str, dict[int, list[tuple[float, float]]]]) -> list[str]:
    """CutMix minus no mixing at every length, a line each: one difference a seed, in points.

    Args:
        errors: as `by_epochs` gives them.

    Example:
        >>> sign({"no mixing": {20: [(69.0, 9.0), (70.0, 8.0)]}, "CutMix": {20: [(75.0, 60.0), (74.0, 60.0)]}})
        [' 20 epochs: +6.0, +4.0']
    """
    plain, mixed = (errors.get(row, {}) for row in (BASELINE, "CutMix"))
    pairs = {epochs: zip(mixed[epochs], plain[epochs]) for epochs in mixed if epochs in plain}
    return [f"{epochs:>3} epochs: " + ", ".join(f"{after[0] - before[0]:+.1f}" for after, before in each)
            for epochs, each in pairs.items()]


def half_time(frame):
    """The error on clean training images at half-time without mixing, colour, in percent: a line a length."""
    import pandas

    found = {}
    for _, run in frame.iterrows():
        if run["run"].startswith("colour-") and run["row"] == BASELINE and run["seed"] in EPOCH_SEEDS:
            column = found.setdefault(f"seed {run['seed']}", {})
            column[f"{_epochs(run)} epochs"] = f"{run['half_time_train_error']:.1f}"
    table = pandas.DataFrame(found)
    return table.loc[sorted(table.index, key=lambda length: int(length.split()[0]))]


def reach(frame, seeds: Sequence[int] = (5, 10)) -> list[str]:
    """Half the width of an interval that the setting gives, with the least and the largest of the deviations seen.

    Args:
        frame: records of one setting.
        seeds: numbers of pairs to say it for.
    """
    found = [primary(frame), *differences(frame)["test_error"].values()]
    deviations = sorted(each.sd for each in found if each)
    return [f"sd {sd:.2f}: " + ", ".join(f"{records.half_width(sd, n):.2f} with {n} seeds" for n in seeds)
            for sd in (deviations[0], deviations[-1])] if deviations else ["nothing on record"]


def _epochs(run) -> int:
    """The length of a run: its own, or its recipe's."""
    import pandas

    from mixlab.train import recipes

    return recipes[run["recipe"]].epochs if pandas.isna(run["epochs"]) else int(run["epochs"])
