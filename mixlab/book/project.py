"""Where a book lies, which chapters it has, and what their outputs depend on."""

import hashlib
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """A folder with `_toc.yml`, `_config.yml`, `requirements.lock`, `book/` and `mixlab/`."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Project":
        """The project around a folder (the current one by default).

        Raises:
            FileNotFoundError: if neither the folder nor one above it holds `_toc.yml` and `book/`.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
                return cls(folder)
        raise FileNotFoundError(f"expected a checkout of the book (_toc.yml and book/) at or above {start}")

    @property
    def book(self) -> Path:
        """The folder with the sources."""
        return self.root / "book"

    @property
    def output(self) -> Path:
        """The one folder below `book/` that building writes to."""
        return self.book / "_build"

    def notebooks(self) -> list[Path]:
        """Every executed page: the notebooks that `_toc.yml` names, in order."""
        import yaml

        pages = _files(yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf8")))
        notebooks = (self.book / f"{page.removesuffix('.ipynb')}.ipynb" for page in pages)
        return [notebook for notebook in notebooks if notebook.is_file()]

    def chapters(self) -> list[Path]:
        """The chapters among the executed pages, `chapters/NN-name.ipynb`; the others are appendices."""
        folder = self.book / "chapters"
        return [path for path in self.notebooks() if path.parent == folder and re.match(r"\d\d-", path.name)]

    def chapter(self, name: str) -> Path:
        """The executed page, chapter or appendix, that a file name, its stem or the start of it (`"02"`) means.

        Raises:
            ValueError: if no page or more than one starts so.
        """
        stem = Path(name).name.removesuffix(".ipynb")
        found = [path for path in self.notebooks() if path.stem.startswith(stem)]
        if len(found) != 1:
            known = ", ".join(path.stem for path in self.notebooks())
            raise ValueError(f"expected the start of one chapter's name among {known}; received {name!r}")
        return found[0]

    def surroundings(self) -> str:
        """A hash of everything outside a chapter that its outputs depend on.

        That is every file of the package, the lock file, the recorded results, the Python version, and whether
        this is a dry run.
        """
        digest = hashlib.sha256(f"{platform.python_version()} {os.environ.get('MIXLAB_DRY_RUN', '')}".encode())
        lock = self.root / "requirements.lock"
        for path in [lock, *_sources(self.root / "mixlab"), *_sources(self.book / "results")]:
            if path.is_file():
                digest.update(f"{path.relative_to(self.root).as_posix()} {path.stat().st_size} ".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()


def _files(node: object) -> Iterable[str]:
    """Every `root:` and `file:` entry of a table of contents, in reading order."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from _files(value)
    elif isinstance(node, list):
        for item in node:
            yield from _files(item)


def _sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
