"""A chapter to begin with: the parts of a page in their order, and cells that run, on the example of Mixup."""

import re

import nbformat
from nbformat import NotebookNode

from mixlab.book.execute import KERNEL
from mixlab.book.project import Project

NAME = re.compile(r"(\d\d)-([a-z0-9]+(?:-[a-z0-9]+)*)")

OPENING = """\
(ch-<label>)=
# <title>

**The question.** One question in plain words. A reader should want to know the answer.

**What you need to know.** The earlier chapters and the mathematics that this one takes for granted.

**What you will be able to do.** Two or three things, each with a verb.
"""

PARAMETERS = 'budget = "cpu"'

SETUP = """\
import torch
from matplotlib import pyplot as plt

from mixlab.book import check, checks, setup, sizes
from mixlab.data import load
from mixlab.mixers import Mixup
from mixlab.plots.mixing import exhibit, exhibits
from mixlab.rng import generator

setup()
size = sizes(budget, cpu={"draws": 4000}, gpu={"draws": 40_000}, dry={"draws": 40})
"""

BY_HAND = """\
## By hand

The method on an example that fits on paper. Here: two images of three pixels, mixed three to one. Let the reader
compute it first.
"""

BY_HAND_CODE = """\
first, second = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0.0, 1.0, 0.5])
print(0.75 * first + 0.25 * second)
"""

FROM_SCRATCH = """\
## From scratch

The method in ten to twenty lines of plain torch, without the library. The next cell asserts that the library gives the
same, on a batch that is not trivial.
"""

FROM_SCRATCH_CODE = '''\
def blend(images, labels, partners, share, classes):
    """Images and labels, mixed alike: (B, C, H, W) and (B, classes)."""
    one_hot = torch.nn.functional.one_hot(labels, classes).float()
    share = share[:, None]
    targets = share * one_hot + (1 - share) * one_hot[partners]
    share = share[..., None, None]
    return share * images + (1 - share) * images[partners], targets
'''

ASSERTION_CODE = """\
images = torch.rand(8, 3, 16, 16, generator=generator("batch"))
labels = torch.arange(8) % 3
mix = Mixup(1.0).draw(images, generator=generator("mix"))
mixed, targets = blend(images, labels, mix.sources[:, 1], mix.shares[:, 0], 3)

torch.testing.assert_close(mixed, mix.apply(images))
torch.testing.assert_close(targets, mix.targets(labels, 3))
"""

GUARD_CODE = """\
# This guards the code and answers no question of the reader, so it is folded.
check("labels that do not sum to one", ((targets.sum(1) - 1).abs() > 1e-6).sum(), 0, 0)
"""

WHY = """\
## Why

The mathematics, numbered, in the paper's letters, each step motivated. One theorem that is proved well beats four that
are sketched.

$$
\\hat x = \\lambda x_i + (1 - \\lambda) x_j, \\qquad \\lambda \\sim \\mathrm{Beta}(\\alpha, \\alpha)
$$ (eq-<label>-mix)

A numbered equation is cited where it is used: by {eq}`eq-<label>-mix` the mean share is one half.
"""

CLAIMS_CODE = """\
shares = Mixup(1.0).draw(torch.zeros(size.draws, 1), generator=generator("law")).shares
checks([
    ("mean share of the first image, theory 1/2", shares[:, 0].mean(), 0.48, 0.52),
    ("its variance, theory 1/12", shares[:, 0].var(), 0.077, 0.09),
])
"""

SEE_IT = """\
## See it

On photographs, and one figure that moves where moving teaches.
"""

SEE_IT_CODE = """\
gallery = load("gallery", validation=0.0)
photographs, names = gallery.train.images / 255, gallery.classes
draws = {
    f"α = {alpha:g}": Mixup(alpha).draw(photographs, generator=generator("see", 1))
    for alpha in (0.2, 1.0, 8.0)
}
exhibits([exhibit(title, mix, photographs, names) for title, mix in draws.items()])
plt.show()
"""

SEE_IT_ALT = "Three columns, for alpha 0.2, 1 and 8: a photograph blended with another, their shares, the label."

DOES_IT_HELP = """\
What to see in {numref}`fig-<label>-see` is said here, in one sentence.

## Does it help?

One primary comparison, with its control and its margin, written into the experiment's docstring before it was run. It
comes from records:

    mixlab reproduce NAME --jobs 2

Show the baseline effect in the same table. Secondary comparisons are one table or a forest plot.
"""

CLOSING = """\
## What to keep

Three sentences.

## Paper versus ours

| claim of the paper | here |
|---|---|
| with its table or figure | confirmed, not confirmed, or not examined, and where |

## Exercises

```{exercise} On paper (★)
:label: ex-<label>-paper

A question that a pencil answers.
```

```{solution} ex-<label>-paper
:class: dropdown

The answer, with its reason.
```

```{exercise} To implement (★★)
:label: ex-<label>-implement

A variant of the cell that builds the method from scratch.
```

```{solution} ex-<label>-implement
:class: dropdown

The changed lines, and what they change.
```

```{exercise} To train (★★★)
:label: ex-<label>-train

A run that takes minutes, with the command that starts it.
```

```{solution} ex-<label>-train
:class: dropdown

What came out here, with its spread.
```

## Method card

| | |
|---|---|
| **What it is** | one line |
| **In code** | `mixers.Mixup(alpha)` |
| **The knob** | what it does at its ends |
| **Use it when** | the setting in which it helped |
| **Beware** | the setting in which it did not |
| **Cost** | beside a step without it |

## Further reading

Two or three works, and what each is good for.
"""

FOLDED, CLOSED, SCRATCH = {"tags": ["hide-input"]}, {"tags": ["hide-cell"]}, {"tags": ["from-scratch"]}


def skeleton(name: str, title: str) -> NotebookNode:
    """A chapter in the order of the book's pages, not yet executed.

    Args:
        name: the file's stem, two digits and words in small letters: ``"04-lamix"``.
        title: the heading.

    Returns:
        A notebook whose cells run as they are.

    Raises:
        ValueError: if the name has another form.
    """
    digits, label = _parts(name)
    new, figure = nbformat.v4, {"caption": "What it means.", "name": f"fig-{label}-see"}
    pictures = {"mystnb": {"image": {"alt": SEE_IT_ALT}, "figure": figure}}

    def text(source: str) -> NotebookNode:
        return new.new_markdown_cell(source.strip().replace("<label>", label).replace("<title>", title))

    def code(source: str, metadata: dict | None = None) -> NotebookNode:
        return new.new_code_cell(source.strip(), metadata=metadata or {})

    cells = [
        text(OPENING),
        code(PARAMETERS, {"tags": ["parameters", "hide-input"]}),
        code(SETUP, FOLDED),
        text(BY_HAND),
        code(BY_HAND_CODE),
        text(FROM_SCRATCH),
        code(FROM_SCRATCH_CODE, SCRATCH),
        code(ASSERTION_CODE),
        code(GUARD_CODE, CLOSED),
        text(WHY),
        code(CLAIMS_CODE),
        text(SEE_IT),
        code(SEE_IT_CODE, pictures),
        text(DOES_IT_HELP),
        text(CLOSING),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"ch{digits}-{number:02d}"
    return new.new_notebook(cells=cells, metadata=KERNEL)


def begin(project: Project, name: str, title: str | None = None) -> str:
    """Write the skeleton of a chapter to ``book/chapters``, and say what else a chapter needs.

    Args:
        project: the book.
        name: see `skeleton`.
        title: the heading; from the name where it is None.

    Returns:
        The line that `_toc.yml` needs and the other things to do, as text.

    Raises:
        ValueError: if the name has another form.
        FileExistsError: if there is a chapter with this number or name.
    """
    number, label = _parts(name)
    path = project.book / "chapters" / f"{name}.ipynb"
    if there := sorted(path.parent.glob(f"{number}-*.ipynb")):
        raise FileExistsError(f"expected a chapter's number that is free, received {name!r} beside {there[0].name}")
    notebook = skeleton(name, title or label.replace("-", " ").capitalize())
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "x", encoding="utf8") as file:
        file.write(nbformat.writes(notebook).rstrip("\n") + "\n")
    room = f"mixlab/chapters/ch{number}_{label.replace('-', '')}"
    return f"""\
{path.relative_to(project.root)} is written. It runs on the example of Mixup; replace that part by part.
_toc.yml needs this line, below the part that the chapter belongs to:
      - file: chapters/{name}
mixlab/book/mutate.py needs a fact that breaks, for the page and for its from-scratch assertion:
    Mutation(chapter="{name}", fact=…, file=…, old=…, new=…, from_scratch=1)
What only this chapter needs goes to {room}/, its experiments to {room}/experiments/.
Then `mixlab book store {number}` writes the outputs."""


def _parts(name: str) -> tuple[str, str]:
    """The number and the label of a chapter's name."""
    found = NAME.fullmatch(name)
    if not found:
        raise ValueError(f"expected a name such as 04-lamix, received {name!r}")
    return found[1], found[2]
