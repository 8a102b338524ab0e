"""Widgets of a notebook: the state that its views need, under names that no run changes, and the view on a page."""

import html
import json
from collections.abc import Iterable
from copy import deepcopy

from nbformat import NotebookNode

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
LINKS = ("LinkModel", "DirectionalLinkModel")  # nothing refers to them; they refer to what they link


def tidy_state(notebook: NotebookNode) -> None:
    """Keep the models that a stored view needs, and name them by order; without any, keep no state at all.

    A kernel names models by random numbers. Here the first view's model is `widget-1`, what it refers to follows, and
    so on; links between models that are kept come last. Progress bars that were cleared away are left out.
    """
    held = notebook.metadata.pop("widgets", {}).get(STATE)
    models = held["state"] if held else {}
    views = [output.data[VIEW] for output in _outputs(notebook) if VIEW in output.get("data", {})]
    names: dict[str, str] = {}
    for view in views:
        _name(view["model_id"], models, names)
    links = [
        key
        for key, model in models.items()
        if model["model_name"] in LINKS and set() < set(_references(model)) <= names.keys()
    ]
    for key in sorted(links, key=lambda key: str(_renamed(models[key], names))):
        _name(key, models, names)

    for view in views:
        view["model_id"] = names[view["model_id"]]
    kept = {name: _renamed(models[key], names) for key, name in names.items() if key in models}
    if kept:
        notebook.metadata["widgets"] = {STATE: {**held, "state": kept}}


def for_the_page(notebook: NotebookNode) -> NotebookNode:
    """A copy in which each view that comes with a png is html that holds both.

    A notebook's front end takes the one that it can show. A page has both, and its style sheet shows the png in print
    and until the widget is there. The png's alternative text is that of the cell's figure.
    """
    notebook = deepcopy(notebook)
    for cell in notebook.cells:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if VIEW in data and "image/png" in data:
                view, png = data.pop(VIEW), data.pop("image/png")
                data["text/html"] = (
                    f'<script type="{VIEW}">{json.dumps(view)}</script>'
                    f'<img class="still" alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
                )
    return notebook


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _name(key: str, models: dict, names: dict[str, str]) -> None:
    """Give a model the next name, unless it has one, and then the models it refers to."""
    if key not in names:
        names[key] = f"widget-{len(names) + 1}"
        for other in _references(models.get(key, {})):
            _name(other, models, names)


def _references(value: object) -> Iterable[str]:
    """The models that a piece of state refers to, in order."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _references(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, str) and value.startswith("IPY_MODEL_"):
        yield value.removeprefix("IPY_MODEL_")


def _renamed(value: object, names: dict[str, str]) -> object:
    """A piece of state that refers to models by their new names."""
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, str) and value.startswith("IPY_MODEL_"):
        key = value.removeprefix("IPY_MODEL_")
        return f"IPY_MODEL_{names.get(key, key)}"
    return value
