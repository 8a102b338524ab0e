"""What the style sheets of a page make of an element: a small part of CSS, enough for the tests of the site."""

import re
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError

Rule = tuple[str, str, str, str]  # the medium, a selector, a property, its value


def computed(page: BeautifulSoup, folder: Path, element: Tag, name: str, width: int | None) -> str | None:
    """The value that wins for a property of an element.

    Known are media of a type and of widths, specificity, order and `!important`; not known are inheritance, layers, and
    what a browser says by itself. `overflow` is read as `overflow-x`, and every shorthand as written.

    Args:
        page: the page, which names its style sheets.
        folder: the folder of the page.
        element: an element of the page.
        name: a property.
        width: the width of the screen in pixels; None for paper.

    Returns:
        The value, or None if no rule speaks of the property.
    """
    best: tuple[tuple[bool, tuple[int, int, int]], str] | None = None
    for link in page.find_all("link", rel="stylesheet"):
        for medium, selector, key, value in rules(folder / link["href"].partition("?")[0]):
            if key == name and applies(medium, width) and matches(selector, element):
                rank = ("!important" in value, specificity(selector))
                if best is None or rank >= best[0]:
                    best = rank, value.replace("!important", "").strip()
    return best and best[1]


@cache
def rules(sheet: Path) -> list[Rule]:
    """The declarations of a style sheet, one selector each, in order."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf8"), flags=re.DOTALL)
    return list(_rules(text, ""))


def _rules(text: str, medium: str):
    at = 0
    while (opening := text.find("{", at)) >= 0:
        head, depth, closing = text[at:opening].rpartition(";")[2].strip(), 1, opening + 1
        while depth and closing < len(text):
            depth += {"{": 1, "}": -1}.get(text[closing], 0)
            closing += 1
        body, at = text[opening + 1 : closing - 1], closing
        if head.startswith("@media"):
            yield from _rules(body, head.removeprefix("@media").strip())
        elif not head.startswith("@"):
            for declaration in body.split(";"):
                key, colon, value = declaration.partition(":")
                key, value = key.strip(), value.strip()
                if key == "overflow":
                    key, value = "overflow-x", " ".join([value.split()[0], *re.findall("!important", value)])
                for selector in re.split(r",(?![^(]*\))", head) if colon else []:
                    yield medium, selector.strip(), key, value


def applies(medium: str, width: int | None) -> bool:
    """Whether a list of media holds on a screen of a width, or on paper, which is 700 pixels wide."""
    if not medium:
        return True
    for query in medium.split(","):
        kinds = set(re.findall(r"\b(?:screen|print)\b", query))
        least = [float(number) for number in re.findall(r"min-width:\s*([\d.]+)px", query)]
        most = [float(number) for number in re.findall(r"max-width:\s*([\d.]+)px", query)]
        known = re.sub(r"\((?:min|max)-width:\s*[\d.]+px\)|\b(?:screen|print|all|and|only)\b|\s", "", query) == ""
        size = 700 if width is None else width
        kind = "print" if width is None else "screen"
        if known and kinds <= {kind} and all(size >= bound for bound in least) and all(size <= bound for bound in most):
            return True
    return False


def matches(selector: str, element: Tag) -> bool:
    """Whether a selector means the element; one that only a browser knows means nothing here."""
    try:
        return element.css.match(selector)
    except (SelectorSyntaxError, NotImplementedError):
        return False


def specificity(selector: str) -> tuple[int, int, int]:
    """Numbers of identities, of classes, attributes and states, and of tags (of `:is(a, b)` the first)."""
    plain = re.sub(r":where\([^)]*\)", "", selector)
    plain = re.sub(r":(?:is|not|has)\(([^,)]*)[^)]*\)", r" \1 ", plain)
    plain = re.sub(r"\[[^\]]*\]", ".attribute", plain)
    tags = re.findall(r"(?:^|[\s>+~])([a-zA-Z][\w-]*)", plain)
    return len(re.findall("#", plain)), len(re.findall(r"\.|(?<!:):(?!:)", plain)), len(tags)
