"""The chapter's tables and sentences: what the records of `search-table` say."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from mixlab import records, reference
from mixlab.chapters.bench.comparison import on_record
from mixlab.chapters.ch10_search.exhaustive import chosen, errors
from mixlab.chapters.ch10_search.experiments import search_table as plan
from mixlab.nas import cells, rank_correlation, regret, stratum
from mixlab.records import Difference, said
from mixlab.records.summary import DASH

__all__ = ["ARMS", "MARGINS", "STRATA", "ceiling", "control", "cost", "judged", "lines", "looks", "on_record",
           "paper_costs", "primary", "proxies", "random_search", "reliability", "said", "secondary",
           "sentences", "summary", "top", "truth"]

HIGH, RANDOM = plan.PRIMARY
#: The rows of the proxies, in the order of the table.
ARMS = (RANDOM, HIGH, plan.POLICIES["easy"], plan.FULL)
OTHERS = tuple(arm for arm in ARMS if arm not in plan.PRIMARY)
#: Measure -> title.
MEASURES = {"regret": "regret, points", "within": "rank correlation within strata"}
#: Measure -> margin of the primary comparison.
MARGINS = {"regret": 0.5, "within": 0.1}
#: Of every network, in the order of the table.
STRATA = tuple(stratum(cell) for cell in cells())
#: Parameters but for a constant: the more, the better, so a proxy's error is minus that.
WEIGHTS = tuple(-float(ones + 9 * threes) for ones, threes in STRATA)


def looks(frame, row: str) -> dict[int, list[float]]:
    """The errors of the 64 networks, by seed.

    Args:
        frame: records of the experiment, see `mixlab.reproduce.load`; may be empty.
        row: "truth" or a proxy.
    """
    part = frame if frame.empty else frame[frame["row"] == row]
    return {int(record["seed"]): errors(record) for record in part.to_dict("records")}


def truth(frame) -> np.ndarray | None:
    """The mean error of every network over the truth's seeds, in percent; None without records.

    Args:
        frame: see `looks`.
    """
    found = list(looks(frame, plan.TRUTH).values())
    return np.mean(found, axis=0) if found else None


def judged(frame):
    """The records of the proxies, with what the truth says of each: `regret`, `within`, `overall` and `place`.

    `place` is that of the chosen network among the 64, 1 for the best.

    Args:
        frame: see `looks`.
    """
    true = truth(frame)
    part = frame.copy() if frame.empty or true is None else frame[frame["row"] != plan.TRUTH].copy()
    part.attrs = {"missing": [each for each in frame.attrs.get("missing", []) if not each.startswith("truth")]}
    if true is None or part.empty:
        return part.iloc[:0]
    rows = part.to_dict("records")
    choices = [chosen(record) for record in rows]
    own = [errors(record) for record in rows]
    part["regret"] = [float(true[number] - true.min()) for number in choices]
    part["place"] = [1 + int((true < true[number]).sum()) for number in choices]
    part["within"] = [rank_correlation(true, each, STRATA) for each in own]
    part["overall"] = [rank_correlation(true, each) for each in own]
    return part


def primary(frame) -> dict[str, Difference | None]:
    """High CV minus random: regret in points, and rank correlation within strata; each by itself.

    Args:
        frame: see `looks`.
    """
    part = judged(frame)
    return {name: records.compared(part, RANDOM, name, rows=[HIGH])[name].get(HIGH) for name in MEASURES}


def sentences(frame) -> list[str]:
    """The two primary comparisons, a line each."""
    return [said(f"{MEASURES[name]}: high CV minus random", found, MARGINS[name])
            for name, found in primary(frame).items()]


def secondary(frame) -> dict[str, dict[str, Difference]]:
    """The other arms minus random, both measures: one family of four.

    Args:
        frame: see `looks`.
    """
    return records.compared(judged(frame), RANDOM, list(MEASURES), rows=OTHERS)


def lines(frame) -> dict[str, dict[str, Difference]]:
    """What the forest shows: the primary comparisons, each alone, then the family.

    Args:
        frame: see `looks`.
    """
    first, others = primary(frame), secondary(frame)
    return {name: ({f"{HIGH} (primary)": first[name]} if first[name] else {}) | others[name] for name in MEASURES}


def summary(frame):
    """The proxies as a table of strings: means over the seeds. Two more lines are what one could do instead.

    These are the number of parameters, and to train as many networks to their end, drawn at random, as take as many
    steps as a proxy of all.

    Args:
        frame: see `looks`.
    """
    shown = {"regret, points": "regret", "place of the chosen": "place", "rank corr., all 64": "overall",
             "within strata": "within"}
    table = records.table(judged(frame), shown, rows=ARMS, digits={"place of the chosen": 1})
    true = truth(frame)
    if true is not None:
        table.loc["number of parameters"] = [DASH, f"{regret(true, WEIGHTS):.2f}", f"{_place(true):.1f}",
                                             f"{rank_correlation(true, WEIGHTS):.2f}", DASH]
        count = len(true) * plan.FULL_EPOCHS // plan.TRUTH_EPOCHS
        table.loc[f"{count} at random, to their end"] = [DASH, f"{random_search(frame, count):.2f}", DASH, DASH, DASH]
    return table


def random_search(frame, count: int) -> float:
    """The expected regret of training `count` networks to their end, drawn at random, and choosing the best of them.

    They are chosen by one seed of the truth and judged by the mean of the others; the mean over the seeds.

    Args:
        frame: see `looks`.
        count: of networks, 1 to 64.

    Returns:
        Points; NaN where fewer than two seeds of the truth are on record.
    """
    found, regrets = list(looks(frame, plan.TRUTH).values()), []
    for place, own in enumerate(found if len(found) > 1 else []):
        others = np.mean(found[:place] + found[place + 1:], axis=0)
        order, size = np.argsort(own, kind="stable"), len(own)
        # The network at place k is the best of those drawn if it is drawn and all others come from behind it.
        chance = [comb(size - 1 - k, count - 1) / comb(size, count) for k in range(size)]
        regrets.append(float(np.dot(chance, others[order]) - others.min()))
    return float(np.mean(regrets)) if regrets else float("nan")


def _place(true: np.ndarray) -> int:
    """That of the network with the most parameters."""
    return 1 + int((true < true[int(np.argmin(WEIGHTS))]).sum())


def top(frame, count: int = 6):
    """The best and the worst networks by the truth, as a table of strings.

    Args:
        frame: see `looks`.
        count: of the best; of the worst are shown two.
    """
    import pandas

    found, true = looks(frame, plan.TRUTH), truth(frame)
    if true is None:
        return pandas.DataFrame()
    order = np.argsort(true, kind="stable")
    rows = [*order[:count], *order[-2:]]
    columns: dict[str, list[str]] = {name: [cells()[number][edge].replace("_", " ") for number in rows]
                                     for edge, name in enumerate(("0 → 1", "0 → 2", "1 → 2"))}
    columns |= {f"seed {seed}, %": [f"{each[number]:.1f}" for number in rows] for seed, each in found.items()}
    columns |= {"mean, %": [f"{true[number]:.1f}" for number in rows]}
    places = [*range(1, count + 1), len(true) - 1, len(true)]
    return pandas.DataFrame(columns, index=[f"{place}." for place in places])


def reliability(frame, row: str) -> float:
    """How well two seeds of a row agree within strata: the mean rank correlation of all pairs; NaN without pairs.

    Args:
        frame, row: see `looks`.
    """
    found = [rank_correlation(one, other, STRATA) for one, other in combinations(looks(frame, row).values(), 2)]
    return float(np.mean(found)) if found else float("nan")


def control(frame) -> str:
    """Each seed of the truth against the mean of the others, within strata: what a perfect look of one seed reaches.

    Args:
        frame: see `looks`.
    """
    found = list(looks(frame, plan.TRUTH).values())
    own = [rank_correlation(np.mean(found[:place] + found[place + 1:], axis=0), each, STRATA)
           for place, each in enumerate(found)] if len(found) > 1 else []
    said_of = ", ".join(f"{value:.2f}" for value in own) or DASH
    return f"a seed of the truth with the mean of the others, within strata: {said_of}"


def ceiling(frame):
    """What correlations within strata could be at most, and what they are, as a table of strings.

    A line for each proxy: its reliability R, the truth's (three seeds together, by the formula of Spearman and Brown),
    the largest correlation that these allow, the one measured, and the latter divided by the former.

    Args:
        frame: see `looks`.
    """
    import pandas

    one, count = reliability(frame, plan.TRUTH), len(looks(frame, plan.TRUTH))
    together = count * one / (1 + (count - 1) * one)
    part = judged(frame)
    lines_of = {}
    for arm in ARMS:
        values = [] if part.empty else part.loc[part["row"] == arm, "within"].tolist()
        own = reliability(frame, arm)
        if not values or np.isnan(own) or np.isnan(one):
            lines_of[arm] = [DASH] * 5
            continue
        most, mean = float(np.sqrt(own * together)), float(np.mean(values))
        lines_of[arm] = [f"{value:.2f}" for value in (own, together, most, mean, mean / most)]
    return pandas.DataFrame.from_dict(lines_of, orient="index", columns=[
        "R of one look", "R of the truth", "at most", "measured", "without noise"])


def proxies(frame, seed: int) -> dict[str, list[float]]:
    """The errors of all networks by each proxy of a seed.

    Args:
        frame: see `looks`.
        seed: of the proxies.
    """
    return {arm: found[seed] for arm in ARMS if seed in (found := looks(frame, arm))}


def cost(frame) -> list[str]:
    """What the looks and the scores take, in processor seconds: means over the seeds.

    Args:
        frame: see `looks`.
    """
    def mean(row: str, column: str) -> float | None:
        part = frame if frame.empty or column not in frame else frame.loc[frame["row"] == row, column].dropna()
        return float(np.mean(part)) if len(part) and column in frame else None

    parts = {
        "the truth, one seed": mean(plan.TRUTH, "table_seconds"),
        "a proxy on all images": mean(plan.FULL, "table_seconds"),
        "a proxy on a random tenth": mean(RANDOM, "table_seconds"),
        "scorer and scores for high CV": None,
    }
    own = [mean(HIGH, name) for name in ("scorer_seconds", "score_seconds")]
    if None not in own:
        parts["scorer and scores for high CV"] = sum(own)
    return [f"{name}: {DASH if value is None else f'{value:.0f} s'}" for name, value in parts.items()]


def paper_costs():
    """What the paper's Table 6 says of three searches, as a table of strings, and their times as parts of the first."""
    import pandas

    table = reference.table("k-image-6").set_index("method")
    hours = table["search, GPU hours"]
    shown = {
        "memory, GB": [f"{value:.1f}" for value in table["memory, GB"]],
        "search, GPU hours": [f"{value:.2f}" for value in hours],
        "part of the first": [f"{value / hours.iloc[0]:.3f}" for value in hours],
        "part of the images": ["1", "0.05", "0.05"],
        "accuracy, %": [f"{value:.2f}" for value in table["top-1 accuracy, %"]],
    }
    return pandas.DataFrame(shown, index=table.index.tolist())
