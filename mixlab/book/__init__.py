"""What the chapters of the book call, and what executes and renders them.

A chapter starts with two lines, ``setup()`` and, where it has sizes to choose, ``sizes(budget, ...)``; it ends
its claims with ``check`` or, for several, ``checks``. The machinery behind ``mixlab book`` stands in the modules
of this package and is not imported from here.
"""

from mixlab.book.chapter import check, checks, dry_run, setup, sizes

__all__ = ["check", "checks", "dry_run", "setup", "sizes"]
