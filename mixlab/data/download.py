"""What torchvision downloads, each into a folder that is handed in; it checks the md5 of what arrives."""

from pathlib import Path

__all__ = ["cifar", "mnist", "svhn"]


def mnist(folder_to: Path, folder: str) -> None:
    """Download ``MNIST`` or ``FashionMNIST`` into ``folder_to``."""
    from torchvision import datasets

    getattr(datasets, folder)(folder_to, download=True)


def cifar(folder_to: Path, folder: str) -> None:
    """Download ``cifar-10-batches-py`` or ``cifar-100-python`` into ``folder_to``."""
    from torchvision.datasets import CIFAR10, CIFAR100

    {one.base_folder: one for one in (CIFAR10, CIFAR100)}[folder](folder_to, download=True)


def svhn(folder_to: Path) -> None:
    """Download both files of SVHN into ``folder_to``."""
    from torchvision.datasets import SVHN

    for part in ("train", "test"):
        SVHN(folder_to / "SVHN", split=part, download=True)
