"""The site as a reader gets it, rendered from the stored outputs: links, anchors, figures, equations, citations."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from .conftest import PROJECT, pages, soup

# The browser loads these: the renderer of equations, and widgets.
LOADED_FROM_A_NETWORK = re.compile(
    r"https://[^/]+/(npm/)?(mathjax|@jupyter-widgets/html-manager)@|https://[^/]+/ajax/libs/require\.js/|data:"
)


def targets(page: Path) -> list[str]:
    """Everything a page points to or loads."""
    found = [(tag, key) for key in ("href", "src") for tag in soup(page).find_all(attrs={key: True})]
    return [tag[key] for tag, key in found if not tag[key].startswith(("data:", "mailto:", "javascript:"))]


def test_every_chapter_has_a_page_with_its_title(html):
    for chapter in PROJECT.chapters():
        page = html / "chapters" / f"{chapter.stem}.html"
        assert soup(page).find("h1") is not None


def test_internal_links_files_and_anchors_exist(html):
    broken = []
    for page in pages(html):
        for target in targets(page):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if path.is_dir():
                path /= "index.html"
            exists = path.is_file() and path.is_relative_to(html.resolve())
            # Scripts of the theme add `#` links of their own.
            if exists and parts.fragment and path.suffix == ".html":
                exists = soup(path).find(id=unquote(parts.fragment)) is not None
            if not exists:
                broken.append(f"{page.relative_to(html)}: {target}")
    assert broken == []


def test_external_links_are_complete_https_addresses(html):
    for page in pages(html):
        for target in targets(page):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                assert parts.scheme == "https" and "." in parts.netloc and " " not in target, target


def test_pages_load_nothing_from_a_network_but_the_equations(html):
    loading = ["script[src]", "img[src]", "iframe[src]", "link[rel=stylesheet]", "link[rel=preload]"]
    for page in pages(html):
        for tag in soup(page).select(", ".join(loading)):
            target = tag.get("src") or tag.get("href")
            if urlsplit(target).scheme:
                assert LOADED_FROM_A_NETWORK.match(target), target


def test_every_image_is_described(html):
    for page in pages(html):
        for image in soup(page).find_all("img"):
            assert len(image.get("alt", "").split()) >= 4, f"{page.relative_to(html)}: {image.get('src', '')[:80]}"


def test_references_equations_and_citations_are_resolved(html):
    for page in pages(html):
        body = BeautifulSoup(str(soup(page).find("article") or soup(page)), "html.parser")
        assert body.select(".problematic, .system-message") == [], page.name
        for code in body.select("pre, code, script"):
            code.extract()
        for leftover in ("{eq}", "{numref}", "{cite", "{ref}", "{prf:", "{doc}", "[?]", "(??)", ":label:"):
            assert leftover not in body.get_text(), f"{page.name}: {leftover}"


def test_numbered_equations_are_cited_by_their_number(html):
    """A citation of an equation shows a number in brackets, not a label."""
    for page in pages(html):
        for link in soup(page).select("a.reference.internal[href*='#equation-']"):
            text = link.get_text().strip()
            assert text.startswith("(") and any(letter.isdigit() for letter in text), f"{page.name}: {text}"
