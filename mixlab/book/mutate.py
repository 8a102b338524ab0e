"""Break a fact of the library and see whether the chapter that teaches it notices."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mixlab.book.project import Project


@dataclass(frozen=True)
class Mutation:
    """One wrong fact: in `file` of the package, `old` (which stands there once) becomes `new`."""

    chapter: str
    fact: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        chapter="01-erm-and-vrm",
        fact="label weights reversed",
        file="mix.py",
        old="scatter_add_(1, classes, self.weights)",
        new="scatter_add_(1, classes, self.weights.flip(1))",
    ),
    Mutation(
        chapter="02-mixup-cutmix-regional",
        fact="a box with sides 1 - λ instead of its root",
        file="mixers/regional.py",
        old="np.sqrt(array(area))[..., None] / 2",
        new="array(area)[..., None] / 2",
    ),
    Mutation(
        chapter="03-bayesian-k-image-mixing",
        fact="sticks broken from the wrong end",
        file="priors.py",
        old="left = shares.flip(-1).cumsum(-1).flip(-1)",
        new="left = shares.cumsum(-1)",
    ),
)


def survives(project: Project, mutation: Mutation) -> bool:
    """Whether the chapter's stored outputs still agree with a library in which the fact is wrong.

    The package is copied to a temporary folder and broken there; the tree is not touched, whatever interrupts.

    Raises:
        ValueError: if `old` does not stand in the file exactly once.
    """
    with tempfile.TemporaryDirectory(prefix="mixlab-mutate-") as folder:
        package = Path(folder) / "mixlab"
        shutil.copytree(project.root / "mixlab", package, ignore=shutil.ignore_patterns("__pycache__"))
        path = package / mutation.file
        path.write_text(broken(path.read_text(encoding="utf8"), mutation), encoding="utf8")
        return chapter_passes(project, mutation.chapter, Path(folder))


def broken(source: str, mutation: Mutation) -> str:
    """The source with the fact broken.

    Raises:
        ValueError: if `old` does not stand in it exactly once.
    """
    if (times := source.count(mutation.old)) != 1:
        raise ValueError(f"expected {mutation.old!r} once in {mutation.file}, found it {times} times")
    return source.replace(mutation.old, mutation.new)


def chapter_passes(project: Project, chapter: str, library: Path) -> bool:
    """Whether nbval, strict, finds a chapter's stored outputs when `mixlab` is imported from a folder.

    Raises:
        RuntimeError: if the test could not be run at all.
    """
    notebook = project.chapter(chapter)
    sanitize = project.root / "tests" / "notebooks" / "sanitize.cfg"
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--nbval",
        f"--nbval-sanitize-with={sanitize}", str(notebook),
    ]  # fmt: skip
    variables = os.environ | {"PYTHONPATH": str(library), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=project.root, env=variables, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"nbval did not run on {notebook.stem}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.returncode == 0
