"""What `pyproject.toml` cannot say: the recorded results travel with an installed package.

They lie in `book/results`, outside the package, where chapters and commands keep them in a checkout. A wheel has a copy
of them in `mixlab/recorded`, so that a notebook of the book finds its tables wherever mixlab is installed.
"""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py

RECORDS = Path(__file__).parent / "book" / "results"


class WithRecords(build_py):
    """The package, and the records beside its modules."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copytree(RECORDS, Path(self.build_lib) / "mixlab" / "recorded", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithRecords})
