"""Tables of the papers: present, well formed, and as printed."""

import pytest

from mixlab import reference


@pytest.mark.parametrize("name", reference.names())
def test_every_table_says_where_it_stands(name):
    frame = reference.table(name)
    assert len(frame) and "Table" in frame.attrs["source"] and frame.attrs["quantity"]


def test_the_dispute():
    frame = reference.table("k-image-4").set_index("K")
    ours, theirs = frame["CutMix (K-image paper)"], frame["CutMix (quoted from Co-Mixup)"].dropna()
    assert ours.idxmin() == 4 and not ours.is_monotonic_decreasing
    assert theirs.is_monotonic_increasing and list(theirs.index) == [2, 3, 4]


def test_unknown_tables_are_refused():
    with pytest.raises(ValueError, match="k-image-4"):
        reference.table("k-image-5")
