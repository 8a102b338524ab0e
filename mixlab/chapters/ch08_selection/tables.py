"""The chapter's tables and sentences: what the records of `selection` and `score-stability` say."""

from __future__ import annotations

from collections.abc import Iterator

from mixlab import records
from mixlab.chapters.bench.comparison import measures, on_record
from mixlab.chapters.ch08_selection.experiments import score_stability
from mixlab.chapters.ch08_selection.experiments import selection as plan
from mixlab.chapters.ch08_selection.stability import LINES, column
from mixlab.records import Difference, corrected, said
from mixlab.records.compare import by_seed
from mixlab.records.summary import DASH

__all__ = ["MARGIN", "chosen", "cost", "lines", "on_record", "paper_and_ours", "primary", "said", "secondary",
           "sentences", "setting", "stability", "summary", "without_mixing"]

#: The margin of the primary comparisons, in points of error.
MARGIN = 1.0
HIGH, RANDOM, EASY = (plan.POLICIES[name] for name in plan.PRIMARY)
OTHERS = tuple(plan.POLICIES[name] for name in plan.OTHERS)
PLAIN = tuple(plan.plain(row) for row in (HIGH, RANDOM, EASY))
#: What a setting is called in tables and figures.
NAMES = {"grey": "grey, 10 classes", "colour": "colour, 20 classes"}


def setting(frame, name: str):
    """The records of one setting.

    Args:
        frame: records of the experiment, see `mixlab.reproduce.load`; may be empty.
        name: "grey" or "colour".
    """
    part = frame.copy() if frame.empty else frame[frame["run"].str.startswith(f"{name}-")]
    part.attrs = {"missing": [each for each in frame.attrs.get("missing", []) if each.startswith(f"{name}-")]}
    return part


def primary(frame, name: str) -> dict[str, Difference | None]:
    """High CV minus random and minus easy, test error in points, each by itself; None without records.

    Args:
        frame, name: see `setting`.
    """
    part = setting(frame, name)
    return {row: records.compared(part, row, rows=[HIGH])["test_error"].get(HIGH) for row in (RANDOM, EASY)}


def sentences(frame) -> list[str]:
    """The four primary comparisons, a line each."""
    return [said(f"{name}: high CV minus {row}", found, MARGIN)
            for name in plan.SETTINGS for row, found in primary(frame, name).items()]


def secondary(frame, name: str) -> dict[str, Difference]:
    """The other policies minus random: one family.

    Args:
        frame, name: see `setting`.
    """
    return records.compared(setting(frame, name), RANDOM, rows=OTHERS)["test_error"]


def without_mixing(frame, name: str) -> dict[str, Difference]:
    """High CV minus random and minus easy, all trained without mixing: one family.

    Args:
        frame, name: see `setting`.
    """
    high, *rows = PLAIN
    part = setting(frame, name)
    found = {row: records.compared(part, row, rows=[high])["test_error"].get(high) for row in rows}
    return corrected({row: each for row, each in found.items() if each is not None})


def lines(frame) -> dict[str, dict[str, Difference]]:
    """What the forest shows of both settings: the primary comparisons, each alone, then two families.

    Args:
        frame: see `setting`.
    """
    found = {}
    for name in plan.SETTINGS:
        first = {f"high CV minus {row} (primary)": each for row, each in primary(frame, name).items() if each}
        plain = {f"high CV minus {row}": each for row, each in without_mixing(frame, name).items()}
        others = {f"{row} minus random": each for row, each in secondary(frame, name).items()}
        found[NAMES[name]] = first | plain | others
    return found


def summary(frame, name: str):
    """The records of a setting as a table of strings: the error with its deviation, the other measures as means.

    Args:
        frame, name: see `setting`.
    """
    return measures(setting(frame, name), (*plan.POLICIES.values(), *PLAIN))


def chosen(frame):
    """What the policies have kept, as a table of strings: means over the seeds, both settings side by side.

    Args:
        frame: see `setting`.
    """
    import pandas

    columns = {"CV": ("chosen_cv", 3), "mean loss": ("chosen_loss", 3), "also random, %": ("overlap", 1)}
    cells = {}
    for name in plan.SETTINGS:
        part = setting(frame, name)
        for title, (column, places) in columns.items():
            found = by_seed(part, column)
            own = [_mean(found, row, places) for row in plan.POLICIES.values()]
            everything = {"chosen_cv": "all_cv", "chosen_loss": "all_loss"}.get(column)
            own.append(_mean(by_seed(part, everything), HIGH, places) if everything else DASH)
            cells[f"{name}: {title}"] = own
    return pandas.DataFrame(cells, index=[*plan.POLICIES.values(), "all images"])


def cost(frame) -> Iterator[str]:
    """What scorer, scores and a training take, a line for each setting: seconds of one core, means over the seeds.

    What as many epochs over all images would take is said by the scorer's pace, which is the same network's, trained
    with the same DCutMix on all of them.

    Args:
        frame: see `setting`.
    """
    for name in plan.SETTINGS:
        part = setting(frame, name)
        scorer, scores, training = (_average(by_seed(part, column), HIGH)
                                    for column in ("scorer_seconds", "score_seconds", "seconds"))
        if training is None:
            yield f"{name}: not on record"
            continue
        error = _average(by_seed(part, "scorer_error"), HIGH)
        yield (f"{name}: scorer {scorer:.0f} s (error {error:.1f} %), scores {scores:.0f} s, a training on a tenth "
               f"{training:.0f} s: choosing takes {(scorer + scores) / training:.1f} trainings; by the scorer's pace "
               f"{plan.EPOCHS} epochs over all images would take {scorer / plan.SCORER['epochs'] * plan.EPOCHS:.0f} s")


def stability(frame):
    """How far two scores of the same images by the same scorer agree, as a table of strings.

    Mean ± standard deviation over the scorers: Spearman's rank correlation within a class of CV and of the mean loss,
    and the percent of the tenth that high CV keeps by one score which it keeps by the other as well.

    Args:
        frame: records of `score-stability`, see `mixlab.reproduce.load`; may be empty.
    """
    import pandas

    shown = {"rank correlation of CV": ("cv", 2), "of the mean loss": ("mean", 2), "same tenth, %": ("overlap", 1)}
    cells = {}
    for line, (draws, sets) in LINES.items():
        companions = "new for every draw" if sets is None else f"{sets} set{'s' * (sets > 1)}"
        for number in draws:
            columns = {title: column(line, number, what) for title, (what, _) in shown.items()}
            found = records.table(frame, columns, rows=[score_stability.ROW],
                                  digits={title: places for title, (_, places) in shown.items()})
            cells[f"M = {number}, companions {companions}"] = found.iloc[0].rename({"seeds": "scorers"})
    return pandas.DataFrame.from_dict(cells, orient="index")


def paper_and_ours(frame):
    """What the paper says of figure 3 beside ours, as a table of strings; above zero is a larger error.

    Args:
        frame: see `setting`.
    """
    import pandas

    def here(name: str, minus: str, row: str) -> str:
        found = records.compared(setting(frame, name), minus, rows=[row])["test_error"].get(row)
        return str(found) if found else DASH

    claims = {
        "high CV minus random": ("-5.79 at t = .05", RANDOM, HIGH),
        "easy minus random": ("above zero", RANDOM, EASY),
        "hard minus random": ("far above zero", RANDOM, plan.POLICIES["hard"]),
        "standard deviation minus random": ("above zero", RANDOM, plan.POLICIES["std"]),
    }
    cells = {claim: (paper, *(here(name, minus, row) for name in plan.SETTINGS))
             for claim, (paper, minus, row) in claims.items()}
    columns = ["paper, CIFAR-100", *(f"here, t = .1, {name}" for name in plan.SETTINGS)]
    return pandas.DataFrame.from_dict(cells, orient="index", columns=columns)


def _average(values: dict[str, dict[int, float]], row: str) -> float | None:
    """The mean over the seeds of a row; None where there is none."""
    found = values.get(row, {}).values()
    return sum(found) / len(found) if found else None


def _mean(values: dict[str, dict[int, float]], row: str, places: int) -> str:
    found = _average(values, row)
    return DASH if found is None else f"{found:.{places}f}"
