"""The site, rendered once from the stored outputs, and what tests ask of its pages."""

from functools import cache
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from mixlab.book.project import Project
from mixlab.book.render import render

PROJECT = Project.find(Path(__file__).parent)


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The rendered site; rendering alone is a test, since every warning is an error."""
    return render(PROJECT, {}, tmp_path_factory.mktemp("site")).parent


@cache
def soup(page: Path) -> BeautifulSoup:
    """A parsed page."""
    return BeautifulSoup(page.read_text(encoding="utf8"), "html.parser")


def pages(html: Path) -> list[Path]:
    """Every page, without copies of sources."""
    return [path for path in sorted(html.rglob("*.html")) if not path.is_relative_to(html / "_static")]
