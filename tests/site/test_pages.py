"""The pages themselves: one for every entry, what head and foot say, and nothing cut off on a phone or on paper."""

import json
import re
from datetime import date

import yaml
from bs4 import BeautifulSoup

import mixlab

from .cascade import computed
from .conftest import PROJECT, pages, soup

PHONE, DESK, PAPER = 390, 1300, None


def entries(node) -> list[str]:
    """Every page that a table of contents names."""
    if isinstance(node, list):
        return [name for item in node for name in entries(item)]
    found = [node[key] for key in ("root", "file") if key in node]
    return found + [name for key in ("parts", "chapters", "sections") for name in entries(node.get(key, []))]


CONTENTS = entries(yaml.safe_load((PROJECT.root / "_toc.yml").read_text(encoding="utf8")))


def read(html) -> dict[str, BeautifulSoup]:
    """The page of every entry."""
    return {name: soup(html / f"{name}.html") for name in CONTENTS}


def test_every_entry_has_one_source_and_a_page_and_every_source_an_entry(html):
    sources = [
        path.relative_to(PROJECT.book).with_suffix("").as_posix()
        for path in PROJECT.book.rglob("*")
        if path.suffix in (".md", ".ipynb")
        and not {"_build", "results", ".ipynb_checkpoints"} & set(path.relative_to(PROJECT.book).parts)
    ]
    assert sorted(sources) == sorted(CONTENTS) and len(set(CONTENTS)) == len(CONTENTS) > 10
    made = {page.relative_to(html).with_suffix("").as_posix() for page in pages(html)}
    assert made - set(CONTENTS) == {"genindex", "prf-prf", "search"} and set(CONTENTS) <= made
    for name, page in read(html).items():
        assert len(page.select("main article h1")) == 1, name


def test_a_page_has_a_description_and_a_picture_for_its_tab(html):
    for name, page in read(html).items():
        (description,) = page.find_all("meta", attrs={"name": "description"})
        assert 100 <= len(description["content"]) <= 200, name
        (icon,) = page.find_all("link", rel="icon")
        assert icon["type"] == "image/svg+xml"
        path = ((html / f"{name}.html").parent / icon["href"].partition("?")[0]).resolve()
        assert BeautifulSoup(path.read_text(), "html.parser").find("svg")["viewbox"] == "0 0 16 16"


def test_the_picture_of_the_tab_is_two_squares_and_their_mean(html):
    drawing = BeautifulSoup((html / "_static" / "favicon.svg").read_text(), "html.parser")
    places, colours = [], []
    for square in drawing.find_all("rect"):
        left, top, width, height = (int(square[key]) for key in ("x", "y", "width", "height"))
        places.append((left, top, left + width, top + height))
        colours.append([int(square["fill"][at : at + 2], 16) for at in (1, 3, 5)])
    first, second, both = places
    assert both == (*map(max, first[:2], second[:2]), *map(min, first[2:], second[2:]))
    assert colours[2] == [(a + b) / 2 for a, b in zip(*colours[:2])]


def test_the_foot_says_version_licences_and_how_to_cite(html):
    cited = yaml.safe_load((PROJECT.root / "CITATION.cff").read_text(encoding="utf8"))
    (author,) = cited["authors"]
    year = date.fromisoformat(cited["date-released"]).year
    line = f"{author['name']} ({year}). {cited['title']}, version {cited['version']}."
    assert cited["version"] == mixlab.__version__
    for name, page in read(html).items():
        foot = page.select_one("footer .extra_footer").get_text()
        assert f"mixlab {mixlab.__version__}." in foot and line in foot, name
        assert "CC BY 4.0" in foot and "MIT" in foot and "{" not in foot


def test_no_page_declares_a_constant_twice(html):
    """A second `const` of a name is an error, and the script it stands in does not run."""
    for page in pages(html):
        scripts = [script.string or "" for script in soup(page).find_all("script") if script.get("type") is None]
        names = [name for script in scripts for name in re.findall(r"\b(?:const|let) (\w+) =", script)]
        assert len(names) == len(set(names)), page.name
        assert not [tag for tag in soup(page).find_all(["script", "link"]) if "thebe" in str(tag)], page.name


def test_formulas_are_no_stops_of_the_tab_key(html):
    for name, page in read(html).items():
        for script in page.find_all("script", string=re.compile("window.MathJax = ")):
            options = json.loads(script.string.partition("=")[2])["options"]
            assert options["menuOptions"]["settings"]["inTabOrder"] is False, name
            assert "math" in options["processHtmlClass"].split("|")


def test_a_wide_formula_in_a_line_scrolls_and_its_invisible_copy_does_not_count(html):
    for name, page in read(html).items():
        folder = (html / name).parent
        for formula in page.select("article span.math")[:1]:
            for width, overflow in ((PHONE, "auto"), (DESK, "auto"), (PAPER, "visible")):
                assert computed(page, folder, formula, "overflow-x", width) == overflow, name
            # What MathJax makes of it holds a copy for screen readers.
            drawn = BeautifulSoup("<mjx-container><mjx-assistive-mml>", "html.parser")
            assert computed(page, folder, drawn.find("mjx-assistive-mml"), "max-width", PHONE) == "100%"


def test_a_note_of_the_margin_stands_in_the_text_where_there_is_no_margin(html):
    notes = 0
    for name, page in read(html).items():
        for note in page.select("aside.margin"):
            notes += 1
            for width in (PHONE, 991, PAPER, 992, DESK):
                where = [computed(page, (html / name).parent, note, key, width) for key in ("float", "width", "margin")]
                beside = width in (992, DESK)
                assert where == (["right", "33%", "0 -36% 0 0"] if beside else ["none", "auto", "1rem 0"]), name
    assert notes > 10


def test_solutions_stay_closed_in_print(html):
    solutions = 0
    for name, page in read(html).items():
        settings = [script.string for script in page.find_all("script", string=re.compile("let toggleOpenOnPrint"))]
        assert settings == ["let toggleOpenOnPrint = 'false';"], name
        for solution in page.select("div.solution"):
            solutions += 1
            # The page's script closes each, and adds a button to the title.
            closed = BeautifulSoup(str(solution), "html.parser").find("div")
            assert {"dropdown", "admonition"} <= set(closed["class"])
            closed["class"] += ["toggle", "toggle-hidden"]
            title, *content = closed.find_all(recursive=False)
            title.append(BeautifulSoup("<button class=toggle-button>", "html.parser").button)
            folder = (html / name).parent
            hidden = [computed(page, folder, part, "display", PAPER) for part in [*content, title.button]]
            assert hidden == ["none"] * len(hidden) and content
            assert computed(page, folder, title, "display", PAPER) in (None, "block")
    assert solutions > 40


def test_columns_of_a_table_keep_apart(html):
    """A heading and a cell of every table have at least half a letter's height on each side."""
    tables = 0
    for name, page in read(html).items():
        for table in page.select("article table"):
            tables += 1
            for cell in (table.find("th"), table.find("td")):
                padding = computed(page, (html / name).parent, cell, "padding", PHONE)
                assert float(re.fullmatch(r"(?:\S+ )?([\d.]+)r?em", padding).group(1)) >= 0.5, (name, padding)
    assert tables > 60
