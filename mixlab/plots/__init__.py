"""Figures of the chapters: functions from arrays and records to a matplotlib Figure. They know no training."""
