"""Tables of the papers: present, well formed, and as printed."""

import re

import pandas
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


DISTILLED = [f"{loss} + {images}" for loss in ("CE", "KD") for images in ("ImgNet32", "MixUp", "CutMix", "SuperMix")]
PAIRS = {"supermix-2": 7, "supermix-3": 6}


def distilled():
    """Both tables of CIFAR-100, 13 pairs of a teacher and a student."""
    return pandas.concat([reference.table(name) for name in PAIRS], ignore_index=True)


def test_what_the_supermix_paper_prints_for_classification():
    table = reference.table("supermix-1").set_index(["network", "accuracy"])
    assert len(table) == 7 and table.index.is_unique  # five networks, two of them with top-5 as well
    assert table.loc[("WRN-28-10", "top-1")].iloc[1:].tolist() == [81.2, 82.9, 82.7, 83.3, 82.1, 82.9, 83.6, 83.9]
    assert table["SuperMix"].tolist() == [79.7, 83.6, 85.5, 77.6, 93.7, 80.8, 95.4]
    assert table["SuperMix + RA"].tolist() == [79.9, 83.9, 85.8, 78.2, 94.0, 81.3, 95.6]
    # "combining RA with SuperMix further improves the performance of classification across all the experiments"
    assert (table["SuperMix + RA"] > table.drop(columns=["data", "SuperMix + RA"]).max(axis=1)).all()
    assert (table["SuperMix"] > table[["MixUp", "CutMix"]].max(axis=1)).all()
    # "on four out of five experiments": those in which it is not below any automated augmentation
    top = table.xs("top-1", level="accuracy")
    assert (top["SuperMix"] >= top[["AA", "FAA", "RA"]].max(axis=1)).tolist() == [True, True, False, True, True]


def test_what_the_supermix_paper_prints_for_distillation():
    for name, count in PAIRS.items():
        table = reference.table(name)
        assert len(table) == count
        alone = ["teacher alone", "student alone", "KD", "CRD"]
        assert list(table) == ["teacher", "student", *alone, *DISTILLED, "starred"]
    same = reference.table("supermix-2").set_index(["teacher", "student"])
    assert same.loc[("ResNet56", "ResNet20")].tolist()[:-1] == [
        72.34, 69.06, 70.66, 71.16, 71.38, 72.00, 72.33, 72.64, 72.22, 72.89, 72.67, 73.19]
    assert same["KD + SuperMix"].tolist() == [77.45, 76.53, 73.19, 72.96, 75.21, 77.59, 76.03]
    other = reference.table("supermix-3").set_index(["teacher", "student"])
    assert other.loc[("WRN-40-2", "ShuffleNetV1")].tolist()[:-1] == [
        75.61, 70.50, 74.83, 76.05, 75.87, 77.29, 77.50, 77.92, 76.23, 77.44, 77.65, 78.07]
    assert other["CE + SuperMix"].tolist() == [71.65, 72.13, 76.07, 78.47, 79.53, 77.92]
    # What stands in both tables, or twice in one, is one number.
    both = distilled()
    assert (both.groupby("teacher")["teacher alone"].nunique() == 1).all()
    assert (both.groupby("student")["student alone"].nunique() == 1).all()


@pytest.mark.parametrize("name, stars", [("supermix-2", 28), ("supermix-3", 12), ("supermix-5", 10)])
def test_stars_of_the_supermix_paper_mark_students_above_their_teacher(name, stars):
    """One is missing: KD + MixUp has 91.44 at top-5 of ImageNet, and its teacher 91.42."""
    marked = above = ()
    for _, row in reference.table(name).iterrows():
        methods = [method for method in row.index[row.index.get_loc("student alone") + 1:] if method != "starred"]
        pair = (row["teacher"], row["student"], row.get("accuracy"))
        marked += tuple((*pair, method) for method in row["starred"])
        above += tuple((*pair, method) for method in methods if row[method] > row["teacher alone"])
    missing = {("ResNet34", "ResNet18", "top-5", "KD + MixUp")} if name == "supermix-5" else set()
    assert len(marked) == stars and set(above) - set(marked) == missing and set(marked) <= set(above)


def test_what_the_supermix_paper_says_of_distillation():
    both, mixing = distilled(), [method for method in DISTILLED if "ImgNet32" not in method]
    for loss in ("CE", "KD"):
        images = both[[f"{loss} + {source}" for source in ("ImgNet32", "MixUp", "CutMix", "SuperMix")]]
        assert (images.idxmax(axis=1) == f"{loss} + SuperMix").all()  # "the best performance across all evaluations"
    # "consistently outperforms previous methods in both distillation scenarios"
    assert (both[mixing].min(axis=1) > both[["KD", "CRD"]].max(axis=1)).all()
    assert (both["KD + SuperMix"] == both[["KD", "CRD", *DISTILLED]].max(axis=1)).all()
    # "on five out of seven setups from the same architecture family ... outperform their teachers"
    assert (reference.table("supermix-2").eval("`CE + SuperMix` > `teacher alone`")).sum() == 5
    # "on average ... improves the performance by 3.4% and 3.1% on CIFAR-100 and ImageNet"
    assert (both["KD + SuperMix"] - both["KD"]).mean() == pytest.approx(3.4, abs=0.05)
    first = reference.table("supermix-5").loc[0]
    gains = [first[f"KD + SuperMix, {count} images"] - first["KD"] for count in (2, 3)]
    assert sum(gains) / 2 == pytest.approx(3.1, abs=0.05)
    # Mixup is farther above CRD than SuperMix is above CutMix, by more than a factor of two.
    assert (both["CE + MixUp"] - both["CRD"]).mean() > 2 * (both["CE + SuperMix"] - both["CE + CutMix"]).mean()


def test_what_the_supermix_paper_prints_for_imagenet():
    table = reference.table("supermix-5").set_index("accuracy")
    methods = [method for method in table if " + " in method]
    assert len(methods) == 8 and table.loc["top-1", ["teacher alone", "KD", "CRD"]].tolist() == [73.31, 70.66, 71.17]
    assert table.loc["top-1", methods].tolist() == [73.03, 73.29, 73.18, 73.33, 73.42, 73.62, 73.65, 73.83]
    assert table.loc["top-5", methods].tolist() == [91.27, 91.44, 91.36, 91.44, 91.51, 91.66, 91.67, 91.82]
    # "in five out of eight experiments of distillation using mixed images, the student outperforms the teacher"
    assert (table.loc["top-1", methods] > table.loc["top-1", "teacher alone"]).sum() == 5


def test_times_of_the_supermix_paper():
    table = reference.table("supermix-4").set_index(["network", "what"])
    assert len(table) == 8
    assert table.loc[("VGG16", "time, s")].iloc[1:].tolist() == [15.41, 6.59, 0.23]
    assert table.loc[("WRN", "time, ms")].iloc[1:].tolist() == [509, 122, 6]
    times = table[table.index.get_level_values("what").str.startswith("time")].drop(columns="data").droplevel("what")
    iterations = table.xs("iterations", level="what").drop(columns="data")
    # "at least 65× faster than SGD", "at least 19× faster than the same algorithm" with total variation
    fastest = times["Newton + smoothing"]
    assert (times["SGD"] / fastest).min() > 65 and (times["Newton + TV"] / fastest).min() > 19
    assert (times["SGD"] > times["Newton + TV"]).all() and (times["Newton + TV"] > fastest).all()
    # No image is done in less than one iteration, so the iterations are divided by something. So are the times: their
    # ratio is one number for each network, as far as 0.2 iterations in one digit can say. That it is 128 we infer.
    assert (iterations["Newton + smoothing"] < 1).all()
    assert (times / iterations).div(times["SGD"] / iterations["SGD"], axis=0).stack().between(0.9, 1.3).all()


def test_the_generator_of_table_1_errs_3_40_points_less_than_its_baseline():
    table = reference.table("k-image-1").set_index("method")["error, %"]
    assert table.tolist() == [60.85, 59.46, 59.73, 57.45]
    assert table.iloc[0] - table.iloc[3] == pytest.approx(3.40)
    assert table.idxmin() == "+ generator (ε = 0.5)" and len(table) == 4
