"""The uncertainty study's records read as a table: made-up records with known answers."""

import pandas
import pytest

from mixlab.analysis.error_detection import areas, detection_table, verdict


def frame(seeds):
    def row(seed):
        auroc = {"single pass": 0.80 + 0.01 * seed, "MC dropout": 0.82 + 0.01 * seed + 0.001 * (seed % 2), "views": 0.5}
        error = {"single pass": 10.0 + seed, "MC dropout": 10.0 + seed, "views": 10.5 + seed}
        return {"row": "ERM + dropout", "seed": seed, "auroc": auroc, "auroc_confidence": auroc, "error": error}

    return pandas.DataFrame([row(seed) for seed in range(seeds)])


def test_table_shows_spread_and_the_paired_difference_of_every_measure():
    table = detection_table(frame(3)).loc["ERM + dropout"]
    assert table["AUROC, entropy"].loc["single pass"].tolist() == ["0.810 ± 0.010 (3)", ""]
    # The spread over seeds is shared and drops out of the difference; what is left is 0.001 in one seed of three.
    assert table["AUROC, entropy"].loc["MC dropout"].tolist() == ["0.830 ± 0.010 (3)", "+0.020 [+0.019, +0.022]"]
    assert table["error of the mean, %"].loc["views"].tolist() == ["11.50 ± 1.00 (3)", "+0.50 [+0.50, +0.50]"]
    assert table["AUROC, 1 - max p"].loc["views"].iloc[1] == "-0.310 [-0.335, -0.285]"


def test_verdict_compares_readings_with_every_other_score():
    found = {"net": {"single pass": {s: 0.8 + 0.01 * s for s in range(5)},
                     "MC dropout": {s: 0.85 + 0.01 * s for s in range(5)},
                     "composites, reading A": {s: 0.82 + 0.01 * s + 0.001 * (s % 2) for s in range(5)},
                     "composites, reading B": {s: 0.825 + 0.01 * s + 0.001 * (s % 2) for s in range(5)}}}
    network, *lines = verdict(found).splitlines()
    assert network == "net"
    starts = [
        "A minus single pass: +0.020 [", "B minus single pass: +0.025 [", "A minus MC dropout: -0.030 [",
        "B minus MC dropout: -0.025 [", "A minus reading B: -0.005 [",
    ]
    assert [line[: len(start) + 10] for line, start in zip(lines, starts)] == ["  reading " + start for start in starts]
    assert [line.split(": ")[-1] for line in lines] == ["higher", "higher", "lower", "lower", "lower"]
    few = {"net": {method: {s: seeds[s] for s in range(3)} for method, seeds in found["net"].items()}}
    assert all(line.endswith("no ordering") for line in verdict(few).splitlines()[1:])
    assert verdict({}) == "No run is on record: nothing can be said."


def test_without_records_the_table_is_empty():
    assert detection_table(pandas.DataFrame()).empty and areas(pandas.DataFrame()) == {}
