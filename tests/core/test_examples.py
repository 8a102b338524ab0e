"""What a package exports has an example of its own; that the examples run is tested by ``--doctest-modules``."""

import importlib
import inspect

import pytest

MODULES = (
    "mixlab",
    "mixlab.masks",
    "mixlab.mix",
    "mixlab.priors",
    "mixlab.saliency",
    "mixlab.mixers",
    "mixlab.risk",
    "mixlab.models",
    "mixlab.data",
    "mixlab.train",
    "mixlab.bayes",
    "mixlab.selection",
    "mixlab.generator",
    "mixlab.nas",
    "mixlab.records",
    "mixlab.theory",
    "mixlab.widgets",
    "mixlab.reproduce",
    "mixlab.reference",
)


def _has_example(exported: object) -> bool:
    """Whether a class or a function says ``>>>`` in a docstring of its own, not one that it inherits."""
    docstring = vars(exported).get("__doc__") if inspect.isclass(exported) else exported.__doc__
    return ">>>" in (docstring or "")


def _exported() -> dict[str, object]:
    """Every class and function that a module's ``__all__`` names; constants and modules are left out."""
    found = {}
    for module in map(importlib.import_module, MODULES):
        named = {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
        found |= {name: value for name, value in named.items() if inspect.isclass(value) or inspect.isroutine(value)}
    return found


EXPORTED = _exported()


@pytest.mark.parametrize("name", EXPORTED)
def test_what_is_exported_has_an_example(name):
    assert _has_example(EXPORTED[name]), f"expected an Example with >>> in the docstring of {name}"


def test_every_module_exports_something():
    """Without this control, a module whose names are all taken for constants would pass."""
    assert {name.rpartition(".")[0] for name in EXPORTED} == set(MODULES)


def test_an_inherited_example_does_not_count():
    class Parent:
        """Does what it says.

        Example:
            >>> 1 + 1
            2
        """

    class Child(Parent):
        pass

    assert _has_example(Parent) and not _has_example(Child)
