"""`mixlab info`: what is installed, what it runs on, and which data are there."""

from __future__ import annotations

import typer

from mixlab.cli.options import tell_unreadable

app = typer.Typer()
PACKAGES = ("mixlab", "torch", "torchvision", "lightning", "numpy", "pandas", "matplotlib")


@app.command()
def info() -> None:
    """Versions, device, and the data sets that are present."""
    import platform

    import torch
    from rich.console import Console
    from rich.table import Table

    from mixlab.data.registry import data_root, survey

    table = Table(show_header=False, box=None)
    table.add_row("python", platform.python_version())
    for name in PACKAGES:
        table.add_row(name, _version(name))
    table.add_row("device", _device())
    table.add_row("threads", str(torch.get_num_threads()))
    root = data_root()
    found = survey(root)
    present = [name for name, there in found.items() if isinstance(there, str)]
    table.add_row("data root", str(root))
    table.add_row("data sets", ", ".join(present) or "none")
    Console().print(table)
    tell_unreadable(found)


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return "cpu"
