"""Tables of the papers: present, well formed, and as printed."""

import re

import pytest

from mixlab import reference


@pytest.mark.parametrize("name", reference.names())
def test_every_table_says_where_it_stands(name):
    frame = reference.table(name)
    where = r"paper, (Table|Figure) \d|slides, (Table \d|the (first|second) of)"  # slides do not number every table
    assert len(frame) and re.search(where, frame.attrs["source"]) and frame.attrs["quantity"]


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


def test_what_the_lamix_paper_prints():
    first = reference.table("lamix-1").set_index(["network", "data"])
    assert first.loc["PreAct ResNet-18", "LaMix"].tolist() == [0.50, 4.03, 2.69, 3.82, 19.38]
    assert first.loc["ResNet-50", "LaMix"].tolist() == [0.47, 4.10, 2.39, 3.60, 18.60]
    assert first.loc["PreAct ResNet-18", "Vanilla"].tolist() == [0.62, 4.78, 3.64, 5.19, 24.19]
    assert first.loc[("PreAct ResNet-18", "CIFAR-100"), ["Mixup", "CutMix"]].tolist() == [21.10, 19.77]
    assert first.loc[("ResNet-50", "CIFAR-100"), "LaMix ±"] == 0.69
    lenet = reference.table("lamix-2").set_index("network").loc["LeNet"]
    assert lenet[["Vanilla", "Mixup", "CutMix", "LaMix"]].tolist() == [58.9, 56.4, 62.5, 56.3]
    assert reference.table("lamix-4")["Puzzle Mix"].tolist() == [36.38, 30.73]
    assert reference.table("lamix-6")["Vanilla"].tolist() == [42.61, 40.89]
    assert reference.table("lamix-7")["LaMix without original samples"].tolist() == [25.74, 25.57, 5.90, 6.39]
    assert reference.table("lamix-8")["LaMix without global label"].tolist() == [23.03, 21.34, 5.07, 4.78]
    assert reference.table("lamix-figure-6")["accuracy"].tolist() == [78.47, 80.62]


def test_a_run_that_the_lamix_paper_prints_twice_is_the_same_run():
    keys, spread = ["network", "data"], ["LaMix", "LaMix ±"]
    first = reference.table("lamix-1").set_index(keys)
    smoothed = reference.table("lamix-5").set_index(keys)
    for name in ("lamix-5", "lamix-7", "lamix-8"):
        frame = reference.table(name).set_index(keys).drop(index="Tiny-ImageNet", level="data", errors="ignore")
        assert frame[spread].equals(first.loc[frame.index, spread])
    tiny = reference.table("lamix-6").assign(data="Tiny-ImageNet").set_index(keys)
    for frame in (tiny, first.loc[(slice(None), ["CIFAR-10", "CIFAR-100"]), :]):
        assert frame[["Mixup", "Mixup ±"]].equals(smoothed.loc[frame.index, ["Mixup", "Mixup ±"]])
    (best,) = reference.table("lamix-figure-4")["LaMix"]
    assert best == pytest.approx(100 - first.loc[("PreAct ResNet-18", "CIFAR-100"), "LaMix"])


def test_smoothing_does_not_always_make_mixup_worse_in_the_lamix_paper():
    """Its section 6.1 says so; five entries of its Table 5 say otherwise."""
    frame = reference.table("lamix-5")
    columns = [f"Mixup + smoothing {coefficient}" for coefficient in (0.1, 0.2, 0.3, 0.4)]
    better = frame[columns].lt(frame["Mixup"], axis=0).sum(axis=1)
    assert dict(zip(zip(frame["data"], frame["network"], strict=True), better, strict=True)) == {
        ("Tiny-ImageNet", "PreAct ResNet-18"): 0, ("Tiny-ImageNet", "ResNet-50"): 0,
        ("CIFAR-100", "PreAct ResNet-18"): 2, ("CIFAR-100", "ResNet-50"): 0,
        ("CIFAR-10", "PreAct ResNet-18"): 0, ("CIFAR-10", "ResNet-50"): 3}


METHODS = ["Vanilla", "Input", "Manifold", "CutMix", "Puzzle Mix", "Co-Mixup"]


def test_what_the_co_mixup_slides_print():
    errors = reference.table("comixup-errors").set_index(["data", "network"])
    assert list(errors.columns) == METHODS and len(errors) == 6
    assert errors.loc[("CIFAR-100", "PreAct ResNet-18")].tolist() == [23.59, 22.43, 21.64, 21.29, 20.62, 19.87]
    assert errors.loc["ImageNet"].iloc[0].tolist() == [24.03, 22.97, 23.30, 22.92, 22.49, 22.39]
    assert errors["Puzzle Mix"].tolist() == [20.62, 19.24, 21.12, 36.52, 22.49, 3.70]
    assert errors["Co-Mixup"].tolist() == [19.87, 19.15, 19.78, 35.85, 22.39, 3.54]
    assert (errors.drop(columns="Co-Mixup").min(axis=1) > errors["Co-Mixup"]).all()
    assert (errors["CutMix"] > errors["Vanilla"]).tolist() == [False, False, True, False, False, False]


def test_errors_that_the_co_mixup_slides_print_twice_are_the_same():
    first = reference.table("comixup-errors").loc[0]
    fourth = reference.table("comixup-4").set_index("inputs")
    assert fourth.loc[2].tolist() == first[fourth.columns].tolist()
    assert fourth["Co-Mixup"].tolist() == [first["Co-Mixup"]] * 3
    quoted = reference.table("k-image-4").set_index("K")["CutMix (quoted from Co-Mixup)"].dropna()
    assert fourth.loc[quoted.index, "CutMix"].tolist() == quoted.tolist()
    more = fourth[["Input", "Manifold", "CutMix"]].diff().loc[3]
    assert (more > 0).all()  # a third input makes all three baselines worse there


def test_the_corruption_table_is_one_of_imagenet():
    """Taking off what corruption adds leaves one clean error for each method, near that of the ImageNet row."""
    table = reference.table("comixup-corruption").set_index("corruption")
    imagenet = reference.table("comixup-errors").set_index("data").loc["ImageNet"]
    for method in METHODS:
        clean = (table[method] - table[f"{method} +"]).round(2).tolist()
        assert clean[0] == pytest.approx(clean[1], abs=0.011)
        assert clean[0] == pytest.approx(imagenet[method], abs=0.121)
    assert table["CutMix +"].idxmax() == "random replacement" and table.loc["random replacement", "CutMix"] == 46.20
