"""Tables of the papers: present, well formed, and as printed."""

import re

import pytest

from mixlab import reference


@pytest.mark.parametrize("name", reference.names())
def test_every_table_says_where_it_stands(name):
    frame = reference.table(name)
    assert len(frame) and re.search(r"paper, (Table|Figure) \d", frame.attrs["source"]) and frame.attrs["quantity"]


def test_the_dispute():
    frame = reference.table("k-image-4").set_index("K")
    ours, theirs = frame["CutMix (K-image paper)"], frame["CutMix (quoted from Co-Mixup)"].dropna()
    assert ours.to_dict() == {2: 21.34, 3: 21.01, 4: 20.50, 5: 21.01, 7: 20.90, 9: 20.93}
    assert theirs.to_dict() == {2: 21.29, 3: 22.01, 4: 22.20}


def test_what_the_papers_print_for_mixup_and_cutmix():
    mixup = reference.table("mixup-3a")
    assert mixup["ERM"].tolist() == [5.6, 3.8, 3.7, 25.6, 19.4, 19.0]
    assert mixup["mixup"].tolist() == [4.2, 2.7, 2.7, 21.1, 17.5, 16.8]
    errors = reference.table("cutmix-3").set_index("method")["top-1"]
    assert errors.tolist() == [23.68, 22.93, 22.46, 22.58, 22.50, 21.87, 21.80, 21.40]
    assert errors.idxmin() == "CutMix"


def test_unknown_tables_are_refused():
    with pytest.raises(ValueError, match="k-image-4"):
        reference.table("k-image-5")
