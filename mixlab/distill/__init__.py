"""Distillation: a teacher's knowledge for a student, at every step or written to a folder once."""

from mixlab.distill.writer import write_mixed

__all__ = ["write_mixed"]
