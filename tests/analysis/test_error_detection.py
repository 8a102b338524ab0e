"""The uncertainty study's records read as a table: made-up records with known answers."""

import pandas
import pytest

from mixlab.analysis.error_detection import against, areas, detection_table, verdict


def frame(seeds):
    def row(seed):
        auroc = {"single pass": 0.80 + 0.01 * seed, "MC dropout": 0.82 + 0.01 * seed + 0.001 * (seed % 2), "views": 0.5}
        error = {name: 10.0 + seed for name in auroc}
        return {"row": "ERM + dropout", "seed": seed, "auroc": auroc, "auroc_confidence": auroc, "error": error}

    return pandas.DataFrame([row(seed) for seed in range(seeds)])


def test_differences_are_paired_with_the_single_pass():
    difference = against(areas(frame(3)))["ERM + dropout"]
    assert set(difference) == {"MC dropout", "views"}
    assert difference["MC dropout"].mean == pytest.approx(0.02 + 0.001 / 3)
    assert difference["MC dropout"].error < 0.001


def test_an_ordering_is_printed_with_five_seeds_only():
    assert set(detection_table(frame(4))["ordering"]) == {""}
    assert list(detection_table(frame(5))["ordering"]) == ["", "better", "worse"]


def test_table_shows_spread_and_interval():
    line = detection_table(frame(3)).iloc[0]
    assert line["AUROC, entropy"] == "0.810 ± 0.010 (3)" and line["minus single pass"] == ""
    assert line["error of the mean, %"] == "11.00 ± 1.00 (3)"


def test_verdict_compares_readings_with_every_other_score():
    found = {"net": {"single pass": {s: 0.8 + 0.01 * s for s in range(5)},
                     "MC dropout": {s: 0.85 + 0.01 * s for s in range(5)},
                     "composites, reading A": {s: 0.82 + 0.01 * s + 0.001 * (s % 2) for s in range(5)}}}
    network, better, worse = verdict(found).splitlines()
    assert network == "net"
    assert better.startswith("  reading A minus single pass: +0.0204") and better.endswith(": better")
    assert "minus MC dropout: -0.0296" in worse and worse.endswith(": worse")
    few = {"net": {method: {s: seeds[s] for s in range(3)} for method, seeds in found["net"].items()}}
    assert all(line.endswith("no ordering") for line in verdict(few).splitlines()[1:])
    assert verdict({}) == "No run is on record: nothing can be said."


def test_without_records_the_table_is_empty():
    assert detection_table(pandas.DataFrame()).empty and areas(pandas.DataFrame()) == {}
