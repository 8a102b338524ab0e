"""What chapters call: verdicts, sizes, and the first cell's settings."""

import math

import pytest
import torch

from mixlab.book import check, checks, setup, sizes


def test_a_number_is_printed_behind_its_interval_and_verdict(capsys):
    check("mean", 0.123456, 0.1, 0.2)
    check("steps", torch.tensor(12), 1, 20)
    assert capsys.readouterr().out == (
        "mean: in [0.1, 0.2]: ok, measured 0.123\n"
        "steps: in [1, 20]: ok, measured 12\n"
    )


@pytest.mark.parametrize("value", [0.0999, 0.2001, 0.20001, math.nan, math.inf])
def test_a_number_outside_is_told_from_the_ends_of_the_interval(capsys, value):
    check("mean", value, 0.1, 0.2)
    assert capsys.readouterr().out == f"mean: in [0.1, 0.2]: OUTSIDE, measured {value}\n"


def test_one_sided_intervals_and_their_ends(capsys):
    check("gap", 1.0, low=1)
    check("gap", torch.tensor(2.0), high=2)
    check("gap", 2.5, -math.inf, 3)
    assert capsys.readouterr().out == (
        "gap: at least 1: ok, measured 1\ngap: at most 2: ok, measured 2\ngap: at most 3: ok, measured 2.5\n"
    )


@pytest.mark.parametrize(("low", "high"), [(2, 1), (math.nan, 1), (0, math.nan), (None, None), (-math.inf, math.inf)])
def test_an_interval_that_holds_nothing_or_everything_is_refused(low, high):
    with pytest.raises(ValueError, match="low <= high"):
        check("mean", 1, low, high)


def test_several_checks_are_one_table_with_the_measured_numbers_last(capsys):
    checks([("mean share", 0.4983, 0.49, 0.51), ("gap, points", 3.1, 1), ("ties", 3, None, 2)])
    assert capsys.readouterr().out == (
        "mean share:  in [0.49, 0.51]: ok, measured 0.498\n"
        "gap, points:      at least 1: ok, measured 3.1\n"
        "ties:              at most 2: OUTSIDE, measured 3\n"
    )
    checks([])
    assert capsys.readouterr().out == ""


def test_the_columns_do_not_depend_on_what_was_measured(capsys):
    tables = []
    for values in ((0.5, 2), (123456.789, -1e-9)):
        checks([("a", values[0], 0), ("a longer name", values[1], -1, 3)])
        tables.append([line.split(", measured")[0] for line in capsys.readouterr().out.splitlines()])
    assert tables[0] == tables[1]


@pytest.mark.parametrize("claim", [("mean",), ("mean", 1), ("mean", 1, 0, 2, 3)])
def test_a_claim_of_other_parts_is_refused(claim):
    with pytest.raises(ValueError, match=r"expected claims \(name, value, low\)"):
        checks([claim])


@pytest.mark.parametrize("value", [0.5, 5])
def test_a_dry_run_judges_nothing(capsys, monkeypatch, value):
    monkeypatch.setenv("MIXLAB_DRY_RUN", "1")
    check("mean", value, 0, 1)
    assert capsys.readouterr().out == "mean: in [0, 1]: not judged in a dry run\n"


TABLES = {"cpu": {"n": 10}, "gpu": {"n": 100}, "paper": {"n": 1000}, "dry": {"n": 1}}


@pytest.mark.parametrize(("budget", "n", "device"), [("cpu", 10, "cpu"), ("gpu", 100, "auto"), ("paper", 1000, "auto")])
def test_sizes_follow_the_budget(budget, n, device, monkeypatch):
    monkeypatch.delenv("MIXLAB_DRY_RUN", raising=False)
    size = sizes(budget, **TABLES)
    assert (size.n, size.device, size.budget) == (n, device, budget)


def test_sizes_of_a_dry_run_are_the_smallest_but_keep_the_budget(monkeypatch):
    monkeypatch.setenv("MIXLAB_DRY_RUN", "1")
    size = sizes("gpu", **TABLES)
    assert (size.n, size.budget) == (1, "gpu")


def test_paper_is_gpu_where_it_is_not_given():
    assert sizes("paper", cpu={"n": 1}, gpu={"n": 2}, dry={"n": 0}).n == 2


@pytest.mark.parametrize("missing", ["gpu", "paper", "dry"])
def test_sizes_must_have_equal_names(missing):
    with pytest.raises(ValueError, match=f"under '{missing}'"):
        sizes("cpu", **{**TABLES, missing: {"m": 1}})


def test_an_unknown_budget_is_refused():
    with pytest.raises(ValueError, match="cpu, gpu, paper, received 'tpu'"):
        sizes("tpu", **TABLES)


def test_setup_makes_one_thread_short_floats_and_small_figures():
    import warnings

    import matplotlib

    try:
        with matplotlib.rc_context(), warnings.catch_warnings():
            setup()
            assert torch.get_num_threads() == 1
            assert str(torch.tensor([1 / 3, 1e6])) == "tensor([      0.333, 1000000.000])"
            assert matplotlib.rcParams["figure.dpi"] <= 90
            with warnings.catch_warnings(record=True) as heard:
                warnings.warn("old", DeprecationWarning, stacklevel=1)
                warnings.warn("news", UserWarning, stacklevel=1)
            assert [str(one.message) for one in heard] == ["news"]
    finally:
        torch.set_printoptions(profile="default")
