"""`mixlab book mutate` counts what nobody noticed, on the page and in the assertion after a from-scratch cell."""

import pytest
from typer.testing import CliRunner

from mixlab.book import mutate
from mixlab.cli.book import app

FACTS = (
    mutate.Mutation("01-first", "a fact of the page", "mix.py", "0.5", "0.6"),
    mutate.Mutation("02-second", "a fact of both", "mix.py", "0.5", "0.6", from_scratch=2),
)


@pytest.mark.parametrize(("sound", "page", "assertion", "status"), [
    (True, False, False, 0), (True, True, False, 1), (True, False, True, 1), (False, False, False, 1),
])
def test_what_survives_anywhere_is_an_error(project, monkeypatch, sound, page, assertion, status):
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(mutate, "MUTATIONS", FACTS)
    monkeypatch.setattr(mutate, "chapter_passes", lambda *_: sound)
    monkeypatch.setattr(mutate, "survives", lambda *_: page)
    monkeypatch.setattr(mutate, "survives_from_scratch", lambda *_: assertion)
    result = CliRunner().invoke(app, ["mutate"])
    words = {False: "noticed", True: "NOT NOTICED"}
    assert result.exit_code == status
    assert result.stdout.splitlines() == ([
        f"01-first: a fact of the page (mix.py): {words[page]}",
        f"02-second: a fact of both (mix.py): {words[page]}",
        f"02-second: a fact of both (from-scratch cell 2): {words[assertion]}",
    ] if sound else [f"{name}: its test fails with the library as it is" for name in ("01-first", "02-second")])
