"""What may be said of recorded runs: differences with intervals, families of them, planned sizes, tables.

Plan the comparison before anything runs. Say what is compared, the margin (the smallest difference that would matter)
and the number of seeds, in the experiment's docstring. A pilot of three seeds gives a standard deviation to plan with:

    >>> from mixlab import records
    >>> [round(records.half_width(sd=0.6, seeds=n), 2) for n in (5, 10)]
    [0.74, 0.43]
    >>> records.seeds_for_power(effect=1.0, sd=0.6)
    6

When the records are there, `mixlab.reproduce.load(name)` gives them as a frame, one line a run. Here is a small one in
its place:

    >>> import pandas
    >>> frame = pandas.DataFrame({
    ...     "row": ["smoothing"] * 5 + ["LaMix"] * 5, "seed": [0, 1, 2, 3, 4] * 2,
    ...     "test_error": [17.1, 16.8, 17.4, 17.0, 17.2, 16.8, 16.6, 17.1, 16.9, 16.9],
    ... })

The primary comparison is one line, paired by seed:

    >>> primary = records.compared(frame, baseline="smoothing", rows=["LaMix"])["test_error"]["LaMix"]
    >>> print(records.said("LaMix minus smoothing", primary, margin=1))
    LaMix minus smoothing: -0.24 [-0.35, -0.13], 5 seeds: no effect above 1; lower

Secondary ones are a family. Whatever one call of `compared` compares, all rows and all measures, is corrected together
(Holm); `table` shows it in numbers and `mixlab.plots.forest.forest` as a figure:

    >>> found = records.compared(frame, baseline="smoothing")
    >>> shown = records.table(frame, {"test error, %": "test_error", "minus smoothing": found["test_error"]})
    >>> print(shown["minus smoothing"].to_string().replace("\\xa0", " "))
    smoothing                         –
    LaMix        -0.24 [-0.35, -0.13] *

The rule is one for all of them, paired or not, alone or in a family: see `Difference`.
"""

from mixlab.records.compare import by_seed, compared
from mixlab.records.difference import MINIMUM_SEEDS, Difference, independent_difference, paired_difference
from mixlab.records.family import corrected, holm
from mixlab.records.power import half_width, power_at, seeds_for_power, seeds_for_width
from mixlab.records.summary import said, table

__all__ = [
    "MINIMUM_SEEDS",
    "Difference",
    "by_seed",
    "compared",
    "corrected",
    "half_width",
    "holm",
    "independent_difference",
    "paired_difference",
    "power_at",
    "said",
    "seeds_for_power",
    "seeds_for_width",
    "table",
]
