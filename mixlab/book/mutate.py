"""Break a fact of the library and see whether the chapter that teaches it notices."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixlab.book.project import Project


@dataclass(frozen=True)
class Mutation:
    """One wrong fact: in `file` of the package, `old` (which stands there once) becomes `new`.

    `from_scratch` is the number, from 1, of the chapter's `from-scratch` cell whose assertion notices it too; 0 where
    none does.
    """

    chapter: str
    fact: str
    file: str
    old: str
    new: str
    from_scratch: int = 0


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
    Mutation(
        chapter="04-lamix",
        fact="λ leaks into the picture",
        file="mixers/lamix.py",
        old="Constant(halves)",
        new="Constant(weights.float())",
        from_scratch=1,
    ),
    Mutation(
        chapter="04-lamix",
        fact="no global label on clean batches",
        file="risk/lamix.py",
        old="self.targets(local, embedding.value))",
        new="self.targets(local, embedding.value) if step % 2 else local)",
        from_scratch=1,
    ),
    Mutation(
        chapter="04-lamix",
        fact="no sigmoid before the softmax",
        file="risk/lamix.py",
        old="(scores.sigmoid() if self.sigmoid else scores).softmax(1)",
        new="scores.softmax(1)",
        from_scratch=1,
    ),
    Mutation(
        chapter="05-puzzle-mix",
        fact="half labels dropped",
        file="mixers/puzzlemix.py",
        old="(labels.view(batch, blocks, blocks) / 2)",
        new="(labels.view(batch, blocks, blocks) / 2).floor()",
        from_scratch=1,
    ),
    Mutation(
        chapter="05-puzzle-mix",
        fact="transport plan applied transposed",
        file="masks.py",
        old="[torch.arange(len(plans), device=plans.device)[:, None], plans]",
        new="[torch.arange(len(plans), device=plans.device)[:, None], plans.argsort(1)]",
        from_scratch=2,
    ),
    Mutation(
        chapter="06-co-mixup",
        fact="τ ignored",
        file="mixers/comixup.py",
        old="overlap(z, a).clamp(min=free)",
        new="overlap(z, a)",
        from_scratch=1,
    ),
    Mutation(
        chapter="06-co-mixup",
        fact="an output overlaps with itself",
        file="mixers/comixup.py",
        old="rest = total - counts[:, j]",
        new="rest = total",
        from_scratch=1,
    ),
    Mutation(
        chapter="06-co-mixup",
        fact="the published procedure charges for all overlap",
        file="mixers/comixup.py",
        old="torch.where(seen > tau * n, rest, 0.0)",
        new="rest",
        from_scratch=2,
    ),
    Mutation(
        chapter="06-co-mixup",
        fact="the best past of a frontier is not looked for",
        file="mixers/frontier.py",
        old="grown = sums.amin(1).mT",
        new="grown = sums[:, 0].mT",
        from_scratch=1,
    ),
    Mutation(
        chapter="07-supermix",
        fact="masks that do not sum to one",
        file="mixers/supermix.py",
        old="F.logsigmoid(grown).softmax(1)",
        new="grown.sigmoid()",
        from_scratch=1,
    ),
    Mutation(
        chapter="07-supermix",
        fact="the divergence turned round",
        file="mixers/supermix.py",
        old='if divergence == "forward":',
        new='if divergence != "forward":',
        from_scratch=1,
    ),
    Mutation(
        chapter="07-supermix",
        fact="the teacher asked once, not at each step",
        file="risk/distillation.py",
        old="return one_hot(answers.argmax(1), answers.shape[1]).to(answers.dtype)",
        new="return vars(self).setdefault('once', one_hot(answers.argmax(1), answers.shape[1]).to(answers.dtype))",
        from_scratch=2,
    ),
    Mutation(
        chapter="08-choosing-data",
        fact="the companions' shares sum to one, whatever the anchor's is",
        file="priors.py",
        old="rest = rest * (1 - share[:, None])",
        new="rest = rest * torch.ones_like(share)[:, None]",
        from_scratch=1,
    ),
    Mutation(
        chapter="08-choosing-data",
        fact="every anchor has companions of its own",
        file="bayes/composites.py",
        old="return images * self.masks[draw] + self.backgrounds[draw]",
        new="return images * self.masks[draw] + self.backgrounds[(draw + torch.arange(len(images))) % len(self)]",
        from_scratch=1,
    ),
    Mutation(
        chapter="08-choosing-data",
        fact="the smallest scores kept, not the largest",
        file="selection/policies.py",
        old='argsort(descending=keep == "largest", stable=True)',
        new='argsort(descending=keep != "largest", stable=True)',
        from_scratch=2,
    ),
    Mutation(
        chapter="09-sample-generator",
        fact="soft labels that do not sum to one",
        file="generator/law.py",
        old="(epsilon * shares).to(mu)",
        new="shares.to(mu)",
        from_scratch=1,
    ),
    Mutation(
        chapter="09-sample-generator",
        fact="the divergence turned round",
        file="generator/law.py",
        old="return torch.special.xlogy(asked, asked).sum(1) - (asked * log_softmax(wide, dim=1)).sum(1)",
        new="return (wide.softmax(1) * (log_softmax(wide, dim=1) - (asked + 1e-9).log())).sum(1)",
        from_scratch=1,
    ),
    Mutation(
        chapter="09-sample-generator",
        fact="the frozen classifier learns",
        file="models/frozen.py",
        old="deepcopy(network).requires_grad_(False)",
        new="deepcopy(network)",
        from_scratch=1,
    ),
    Mutation(
        chapter="09-sample-generator",
        fact="the student learns the likeliest other class",
        file="risk/generated.py",
        old='if self.label == "mu":',
        new='if self.label == "own":',
        from_scratch=2,
    ),
    Mutation(
        chapter="10-architecture-search",
        fact="channels dealt out in the wrong number of groups",
        file="nas/supernet.py",
        old="channel_shuffle(torch.cat([mixed, rest], dim=1), self.parts)",
        new="channel_shuffle(torch.cat([mixed, rest], dim=1), self.mixed)",
        from_scratch=1,
    ),
    Mutation(
        chapter="10-architecture-search",
        fact="edges added up without their shares",
        file="nas/supernet.py",
        old="sum(share[edge + j] * self.edges[edge + j]",
        new="sum(self.edges[edge + j]",
        from_scratch=1,
    ),
    Mutation(
        chapter="10-architecture-search",
        fact="an edge is kept for the weight of its none",
        file="nas/genotype.py",
        old="best, which = scores[:, 1:].max(1)",
        new="best, which = scores.max(1)[0], scores[:, 1:].max(1)[1]",
        from_scratch=2,
    ),
)


def survives(project: Project, mutation: Mutation) -> bool:
    """Whether the chapter's stored outputs still agree with a library in which the fact is wrong.

    Raises:
        ValueError: if `old` does not stand in the file exactly once.
    """
    with broken_library(project, mutation) as library:
        return chapter_passes(project, mutation.chapter, library)


def survives_from_scratch(project: Project, mutation: Mutation) -> bool:
    """Whether the assertion after the `from-scratch` cell that the mutation names holds although the fact is wrong.

    Raises:
        ValueError: if `old` does not stand in the file exactly once, or the chapter has no such cell.
    """
    with broken_library(project, mutation) as library:
        return assertion_holds(project, mutation.chapter, mutation.from_scratch, library)


@contextmanager
def broken_library(project: Project, mutation: Mutation) -> Iterator[Path]:
    """A temporary folder with a copy of the package in which the fact is wrong.

    The tree is not touched, whatever interrupts.
    """
    with tempfile.TemporaryDirectory(prefix="mixlab-mutate-") as folder:
        package = Path(folder) / "mixlab"
        shutil.copytree(project.root / "mixlab", package, ignore=shutil.ignore_patterns("__pycache__"))
        path = package / mutation.file
        path.write_text(broken(path.read_text(encoding="utf8"), mutation), encoding="utf8")
        yield Path(folder)


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
    done = subprocess.run(command, cwd=project.root, env=_with(library), capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"nbval did not run on {notebook.stem}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.returncode == 0


# Runs the cells that come in as JSON, and tells an assertion of the last one from any other error.
NOTICED = 3
RUN_CELLS = f"""
import json, sys
*before, assertion = json.load(sys.stdin)
names = {{"__name__": "__main__"}}
for cell in before:
    exec(cell, names)
try:
    exec(assertion, names)
except AssertionError:
    sys.exit({NOTICED})
"""


def assertion_holds(project: Project, chapter: str, number: int, library: Path) -> bool:
    """Whether the assertion after a chapter's `from-scratch` cell holds when `mixlab` is imported from a folder.

    A new process runs the cells up to the one that calls `setup()`, the `from-scratch` cells up to this one and the
    cell with its assertion, and nothing else of the chapter; so they may need nothing else.

    Args:
        project: the book.
        chapter: the chapter's name or its start.
        number: which of its `from-scratch` cells, from 1.
        library: the folder that holds the package.

    Raises:
        ValueError: if the chapter has no such cell.
        RuntimeError: if something else than the assertion fails.
    """
    import nbformat

    from mixlab.book.scratch import needed

    path = project.chapter(chapter)
    cells = needed(nbformat.read(path, as_version=4), number)
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS], cwd=path.parent, env=_with(library) | {"MPLBACKEND": "agg"},
        input=json.dumps(cells), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode not in (0, NOTICED):
        raise RuntimeError(f"from-scratch cell {number} of {path.stem} did not run:\n{done.stderr[-3000:]}")
    return done.returncode == 0


def _with(library: Path) -> dict[str, str]:
    """The environment in which a new process imports `mixlab` from a folder."""
    return os.environ | {"PYTHONPATH": str(library), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
