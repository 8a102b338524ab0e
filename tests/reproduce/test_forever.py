"""A record is for ever: what was complete stays complete, whatever fields and names are added."""

from dataclasses import dataclass, field, replace

import pytest

from mixlab.reproduce import Run, get, missing, names
from mixlab.reproduce.execute import measure_of, preparation_of
from mixlab.reproduce import plan
from mixlab.reproduce.plan import ALIASES, MEASURES, PREPARATIONS
from mixlab.reproduce.runner import record_path
from mixlab.train import read_record

# The experiments whose records were all there when fields began to be added.
COMPLETE = ("box-fill", "dropout-rate", "k-image", "label-corruption", "mixed-parts", "same-number", "uncertainty",
            "width-strength")


@pytest.mark.parametrize("name", COMPLETE)
def test_no_record_is_missing(name):
    experiment = get(name)
    assert len(experiment.runs) > 8
    assert missing(experiment) == []


@dataclass(frozen=True)
class Later(Run):
    """A run with a field that records do not have yet."""

    task: str = "classification"
    clip: tuple[float, ...] = (0.0, 1.0)
    extra: dict = field(default_factory=dict)


@pytest.mark.parametrize("name", COMPLETE)
def test_a_field_that_is_added_changes_no_run_that_leaves_it_alone(name):
    run = get(name).runs[0]
    config = read_record(record_path(get(name), run))["what"]["config"]
    later = Later(**run.as_dict())
    assert later.same_as(config) and later.digest() == run.digest()
    assert not Later(**run.as_dict(), task="generation").same_as(config)
    assert Later(**run.as_dict(), task="generation").as_dict()["task"] == "generation"


def test_any_other_field_makes_another_run():
    run = get("k-image").runs[0]
    config = run.as_dict()
    for name, value in config.items():
        assert not run.same_as(config | {name: "another" if value != "another" else None}), name


def test_measures_have_short_names_and_the_old_ones_mean_the_same():
    assert set(ALIASES.values()) <= set(MEASURES)
    run = get("label-corruption").runs[0]
    old = {new: old for old, new in ALIASES.items()}["memorised"]
    assert run.as_dict()["measure"] == "memorised"
    assert run.same_as(run.as_dict() | {"measure": old})
    for name in (*MEASURES, *ALIASES):
        assert callable(measure_of(Run("a", "A", "shapes", "lenet", {}, "demo", 0, measure=name)))


def test_preparations_have_short_names_and_are_no_part_of_runs_without_one():
    plain = Run("a", "A", "shapes", "lenet", {}, "demo", 0)
    assert PREPARATIONS and all(callable(preparation_of(replace(plain, prepare=name))) for name in PREPARATIONS)
    assert "prepare" not in plain.as_dict()
    prepared = Run(**plain.as_dict(), prepare="supermix")
    assert prepared.as_dict()["prepare"] == "supermix" and Run(**prepared.as_dict()) == prepared
    assert not prepared.same_as(plain.as_dict()) and prepared.digest() != plain.digest()


def test_two_experiments_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(plan, "_rooms", lambda: ["mixlab.reproduce.experiments"] * 2)
    with pytest.raises(ValueError, match="expected one experiment called box-fill, received .* and "):
        names()


def test_experiments_are_found_in_the_rooms_of_chapters():
    assert "bench" in names() and get("bench").runs
