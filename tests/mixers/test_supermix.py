"""SuperMix against answers that are known, closed forms and loops written out; its pair rule and its controls."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_probabilities, same_mix, seeded, unchanged_global_rng
from torch import nn

from mixlab import Mix, mixers
from mixlab.masks import Constant
from mixlab.mixers import CutMix, DCutMix, DistinctPredictions, Mixup, ShuffledMasks, SuperMix, distinct_partners
from mixlab.mixers.supermix import (
    gaussian,
    masks_of,
    objective,
    polyak_step,
    recognised,
    roughness,
    smoothed,
    soft_target,
)
from mixlab.models import Teacher, build

SIZE, CLASSES = (8, 8), 6
seeds = st.integers(0, 10**6)


def linear_teacher(weights, bias=None):
    """Logits are the inner products of the image with one picture for each class."""
    layer = nn.Linear(weights[0].numel(), len(weights)).to(weights.dtype)
    layer.weight.data.copy_(weights.flatten(1))
    layer.bias.data.copy_(torch.zeros(len(weights)) if bias is None else torch.as_tensor(bias))
    return Teacher(nn.Sequential(nn.Flatten(), layer))


def scene(rows=12, seed=0, dtype=torch.float32, classes=CLASSES):
    """A teacher that looks for one smooth picture a class, and noisy pictures for it, those of a class now and then."""
    g = seeded(seed)
    pictures = nn.functional.interpolate(torch.randn(classes, 1, 3, 3, generator=g, dtype=dtype), SIZE, mode="bilinear")
    labels = torch.arange(rows) % classes
    images = pictures[labels] + 0.3 * torch.randn(rows, 1, *SIZE, generator=g, dtype=dtype)
    return linear_teacher(pictures / 6), images


def plain_masks(logits, size):
    """Up-sampled by interpolating by hand between the centres of cells, then the quotient of sigmoids."""
    def along(cells, pixels):
        weights = torch.zeros(pixels, cells, dtype=logits.dtype)
        for pixel in range(pixels):
            place = min(max((pixel + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
            low = min(int(place), cells - 1)
            weights[pixel, low] += 1 - (place - low)
            weights[pixel, min(low + 1, cells - 1)] += place - low
        return weights

    grown = along(logits.shape[2], size[0]) @ logits @ along(logits.shape[3], size[1]).T
    return grown.sigmoid() / grown.sigmoid().sum(1, keepdim=True)


def heat(sigma, side):
    """The smoothing matrix from its eigenvectors, cosines, whose eigenvalues are exp(-σ² (1 - cos ω))."""
    cells, matrix = torch.arange(side, dtype=torch.float64), torch.zeros(side, side, dtype=torch.float64)
    for mode in range(side):
        wave = torch.cos(math.pi * mode * (cells + 0.5) / side)
        wave /= wave.norm()
        matrix += math.exp(-(sigma**2) * (1 - math.cos(math.pi * mode / side))) * torch.outer(wave, wave)
    return matrix


# Partners.


@given(classes=st.lists(st.integers(0, 5), min_size=2, max_size=9), k=st.integers(2, 4), seed=seeds)
def test_partners_are_other_rows_of_other_classes_where_there_are_enough(classes, k, seed):
    classes = torch.tensor(classes)
    if len(classes) < k:
        with pytest.raises(ValueError, match=f"expected at least {k} rows .*, received {len(classes)}"):
            distinct_partners(classes, k, seeded(seed))
        return
    sources, found = distinct_partners(classes, k, seeded(seed))
    assert torch.equal(sources[:, 0], torch.arange(len(classes))) and sources.dtype == torch.int64
    assert all(len(set(row)) == k for row in sources.tolist())
    enough = len(classes.unique()) >= k
    assert found.tolist() == [enough] * len(classes)
    if enough:
        assert all(len(set(row)) == k for row in classes[sources].tolist())


def test_partners_are_drawn_uniformly_one_after_another():
    classes, g, n = torch.tensor([0, 1, 1, 2]), seeded(), 2000
    pairs = torch.stack([distinct_partners(classes, 2, g)[0][0, 1] for _ in range(n)])
    assert_probabilities([int((pairs == row).sum()) for row in (1, 2, 3)], [1 / 3] * 3, n)
    triples = torch.stack([distinct_partners(classes, 3, g)[0][0, 1:] for _ in range(n)]).tolist()
    counts = [triples.count(pair) for pair in ([1, 3], [2, 3], [3, 1], [3, 2])]
    assert_probabilities(counts, [1 / 3, 1 / 3, 1 / 6, 1 / 6], n)


# The pieces.


@pytest.mark.parametrize("size", [(7, 12), (1, 3)], ids=str)
@given(seed=seeds, scale=st.sampled_from([1.0, 30.0, 1000.0]), k=st.integers(2, 5))
def test_masks_sum_to_one_whatever_the_logits(size, seed, scale, k):
    logits = scale * torch.randn(3, k, 4, 4, generator=seeded(seed))
    masks = masks_of(logits, size)
    assert masks.shape == (3, k, *size) and bool((masks >= 0).all())
    torch.testing.assert_close(masks.sum(1), torch.ones(3, *size), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (7, 12), (4, 4), (3, 2)], ids=str)
def test_masks_are_quotients_of_sigmoids_of_logits_that_grew(size):
    logits = 3 * torch.randn(2, 3, 4, 4, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(masks_of(logits, size), plain_masks(logits, size), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("side", [1, 2, 8, 16])
def test_smoothing_is_symmetric_positive_keeps_constants_and_spreads_heat(sigma, side):
    g = gaussian(sigma, side)
    torch.testing.assert_close(g, g.T, rtol=0, atol=1e-15)
    assert float(torch.linalg.eigvalsh(g).min()) > -1e-15 and float(g.min()) > -1e-15
    torch.testing.assert_close(g.sum(1), torch.ones(side, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(g, heat(sigma, side), rtol=0, atol=1e-12)


def test_far_from_the_walls_the_variance_is_that_of_sigma():
    column, places = gaussian(2.0, 61)[:, 30], torch.arange(61, dtype=torch.float64) - 30
    assert float((column * places**2).sum()) == pytest.approx(4.0, abs=1e-9)


@given(seed=seeds, sigma=st.sampled_from([0.5, 1.0, 2.0]))
def test_smoothed_masks_have_a_symmetric_positive_product(seed, sigma):
    a, b = torch.randn(2, 1, 2, 8, 8, generator=seeded(seed), dtype=torch.float64)
    torch.testing.assert_close((a * smoothed(b, sigma)).sum(), (smoothed(a, sigma) * b).sum())
    assert float((a * smoothed(a, sigma)).sum()) > 0
    torch.testing.assert_close(smoothed(torch.full_like(a, 3.0), sigma), torch.full_like(a, 3.0))


def test_a_filter_cut_off_at_its_ends_would_not_do():
    """The reason for heat: of a sampled Gaussian of σ = 2, cut at 2.5 σ and mirrored, one eigenvalue is negative."""
    taps = torch.exp(-torch.arange(-5.0, 6.0, dtype=torch.float64) ** 2 / 8)
    taps /= taps.sum()
    eye = torch.eye(16, dtype=torch.float64)
    mirrored = torch.cat([eye[:, :5].flip(1), eye, eye[:, -5:].flip(1)], dim=1)
    cut = mirrored.unfold(1, 11, 1) @ taps
    assert torch.allclose(cut, cut.T) and float(torch.linalg.eigvalsh(cut).min()) < -1e-3


def test_roughness_is_the_mean_of_cubed_differences():
    masks = torch.rand(2, 3, 4, 5, generator=seeded(), dtype=torch.float64)
    for row, value in zip(masks, roughness(masks), strict=True):
        total = 0.0
        for mask in row.tolist():
            for i in range(4):
                for j in range(5):
                    total += abs(mask[i + 1][j] - mask[i][j]) ** 3 if i < 3 else 0
                    total += abs(mask[i][j + 1] - mask[i][j]) ** 3 if j < 4 else 0
        assert float(value) == pytest.approx(total / 60)


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
@pytest.mark.parametrize("printed_sign", [False, True])
def test_the_objective_is_divergence_and_blending(divergence, printed_sign):
    g = seeded()
    masks = masks_of(torch.randn(2, 2, 3, 3, generator=g, dtype=torch.float64), (5, 5))
    scores = torch.randn(2, 4, generator=g, dtype=torch.float64)
    target = soft_target(torch.tensor([[0.3, 0.7], [1.0, 0.0]]), torch.tensor([[2, 0], [1, 1]]), 4).double()
    got = objective(masks, scores, target, sparsity=7.0, tv=2.0, divergence=divergence, printed_sign=printed_sign)
    for row in range(2):
        f, y = scores[row].softmax(0).tolist(), target[row].tolist()
        if divergence == "forward":
            expected = sum(p * math.log(p / q) for p, q in zip(y, f) if p)
        else:
            expected = sum(q * math.log(q / (0.999 * p + 0.001 / 4)) for p, q in zip(y, f))
        blending = float((masks[row] * (1 - masks[row])).mean())
        expected += (-7.0 if printed_sign else 7.0) * blending + 2.0 * float(roughness(masks)[row])
        assert float(got[row]) == pytest.approx(expected, rel=1e-6)


def test_the_printed_formulas_are_misprints():
    halves, sharp = torch.full((1, 2, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    scores, target = torch.zeros(1, 3), torch.tensor([[0.5, 0.5, 0.0]])

    def cost(masks, **options):
        return float(objective(masks, scores, target, sparsity=25.0, **options))

    assert cost(sharp) < cost(halves) and cost(sharp, printed_sign=True) > cost(halves, printed_sign=True)
    assert torch.isinf((scores.softmax(1) * (scores.log_softmax(1) - target.log())).sum())
    assert math.isfinite(cost(halves, divergence="reverse"))


def test_repeated_classes_add_up_and_are_never_recognised():
    classes = torch.tensor([[1, 1], [1, 2]])
    assert soft_target(torch.tensor([[0.25, 0.75]] * 2), classes, 3).tolist() == [[0, 1, 0], [0, 0.25, 0.75]]
    assert recognised(torch.tensor([[0.0, 9.0, 8.0], [0.0, 9.0, 8.0]]), classes).tolist() == [False, True]


def test_the_step_is_kept_within_its_limits():
    gradient = torch.tensor([[1e-9], [2.0], [1e5]])
    step = polyak_step(torch.tensor([1.0, 6.0, 1.0]), gradient, gradient)
    torch.testing.assert_close(step, torch.tensor([2000.0, 1.5, 1e-4]))


# The loop.


def test_masks_cut_along_the_middle_where_images_are_lit_in_different_halves():
    """The third class is surer than two halves of the light are: only the whole light of both images is recognised."""
    images = torch.zeros(2, 1, 8, 8)
    images[0, :, :, :4] = images[1, :, :, 4:] = 1.0
    teacher = linear_teacher(torch.cat([images / 2, torch.zeros(1, 1, 8, 8)]), bias=[0.0, 0.0, 13.0])
    mixer = SuperMix(teacher, sigma=0.5, alpha=1000.0)
    plain = teacher(images.mean(0, keepdim=True))
    assert not recognised(plain, torch.tensor([[0, 1]])).any()
    solution = mixer.solve(images, generator=seeded())
    assert solution.success.all() and solution.classes.tolist() == [[0, 1], [1, 0]]
    long = SuperMix(teacher, sigma=0.5, alpha=1000.0, max_iter=200).solve(images, generator=seeded(), stop=False)
    masks = long.mix.masks()
    own, other = masks[0]
    assert bool((own[:, :3] > 0.95).all()) and bool((own[:, 5:] < 0.05).all())
    assert bool((other[:, :3] < 0.05).all()) and bool((other[:, 5:] > 0.95).all())
    torch.testing.assert_close(long.mix.apply(images).mean((1, 2, 3)), torch.ones(2), rtol=0, atol=0.05)


def test_the_first_step_in_closed_form():
    """At equal logits m = ½, dm/dl = ± 1/8 and m (1 - m) is flat: the gradient is that of the linear teacher alone."""
    teacher, images = scene(rows=4, dtype=torch.float64)
    sources, ratios = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]]), torch.tensor([[0.3, 0.7]] * 4).double()
    mixer = SuperMix(teacher, side=8, sigma=1.2, sparsity=25.0)
    solution = mixer.solve(images, sources=sources, ratios=ratios, stop=False, keep_path=True)
    weights, smoothing = teacher.network[1].weight, heat(1.2, 8)
    for row, (one, two) in enumerate(sources.tolist()):
        y = torch.zeros(CLASSES, dtype=torch.float64)
        y[solution.classes[row]] = ratios[row]
        f = (weights @ ((images[one] + images[two]) / 2).flatten()).softmax(0)
        of_pixels = ((f - y) @ weights).view(8, 8)
        g = torch.stack([of_pixels * (images[one, 0] - images[two, 0]) / 8] * 2)
        g[1] *= -1
        q = smoothing @ g @ smoothing
        loss = (y[y > 0] * (y[y > 0] / f[y > 0]).log()).sum() + 25 / 4
        expected = -(loss / (g * q).sum()).clamp(1e-4, 2000) * q
        torch.testing.assert_close(solution.path[1, row], expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("options", [
    {}, {"k": 3, "sigma": 0.7}, {"step": "newton", "tv": 250.0}, {"step": "sgd", "tv": 250.0, "lr": 3.0},
    {"divergence": "reverse"}, {"printed_sign": True},
], ids=str)
def test_four_steps_equal_the_loop_written_out(options):
    teacher, images = scene(rows=5, dtype=torch.float64)
    mixer = SuperMix(teacher, side=4, max_iter=4, **options)
    solution = mixer.solve(images, generator=seeded(3), stop=False, keep_path=True)
    sources, ratios = solution.mix.sources, solution.ratios
    target = torch.zeros(5, CLASSES, dtype=torch.float64)
    for row in range(5):
        for slot in range(mixer.k):
            target[row, solution.classes[row, slot]] += ratios[row, slot]
    logits, smoothing = torch.zeros(5, mixer.k, 4, 4, dtype=torch.float64), heat(mixer.sigma, 4)
    for taken in range(5):
        torch.testing.assert_close(solution.path[taken], logits, rtol=1e-8, atol=1e-10)
        logits = logits.detach().requires_grad_()
        masks = plain_masks(logits, SIZE)
        f = teacher(torch.einsum("bkhw,bkchw->bchw", masks, images[sources])).softmax(1)
        if mixer.divergence == "forward":
            divergence = torch.where(target > 0, target * (target.clamp(min=1e-30) / f).log(), 0.0).sum(1)
        else:
            divergence = (f * (f / (0.999 * target + 0.001 / CLASSES)).log()).sum(1)
        loss = divergence + (-1 if mixer.printed_sign else 1) * 25 * (masks - masks**2).mean((1, 2, 3))
        if mixer.tv:
            loss = loss + mixer.tv * roughness(masks)
        gradient, loss = torch.autograd.grad(loss.sum(), logits)[0], loss.detach()
        for row in range(5):
            g = gradient[row]
            q = smoothing @ g @ smoothing if mixer.step == "smoothed" else g
            rate = mixer.lr if mixer.step == "sgd" else float(loss[row].abs() / ((g * q).sum() + 1e-10))
            logits = logits.detach()
            logits[row] -= (rate if mixer.step == "sgd" else min(max(rate, 1e-4), 2000.0)) * q


def test_newton_is_the_smoothed_step_without_smoothing():
    teacher, images = scene()
    newton, smooth = (SuperMix(teacher, **options).solve(images, generator=seeded(), keep_path=True)
                      for options in ({"step": "newton"}, {"sigma": 0.0}))
    torch.testing.assert_close(newton.path, smooth.path)


@pytest.mark.parametrize("options", [{}, {"k": 3}, {"k": 3, "step": "newton", "tv": 2000.0}], ids=str)
def test_rows_end_with_the_first_step_that_is_recognised_or_have_their_best_masks(options):
    teacher, images = scene()
    mixer = SuperMix(teacher, max_iter=6, sparsity=10.0, **options)
    k = mixer.k
    solution = mixer.solve(images, generator=seeded(1), keep_path=True)
    assert 0 < solution.success.sum() < len(images), "the test needs rows of both kinds"
    target = soft_target(solution.ratios, solution.classes, CLASSES)
    rules, costs = [], []
    for logits in solution.path:
        masks = plain_masks(logits, SIZE)
        scores = teacher(torch.einsum("bkhw,bkchw->bchw", masks, images[solution.mix.sources]))
        best = scores.argsort(1, descending=True)[:, :k].tolist()
        named = [(set(row), set(classes)) for row, classes in zip(best, solution.classes.tolist(), strict=True)]
        rules.append([one == two and len(two) == k for one, two in named])
        costs.append(objective(masks, scores, target, sparsity=10.0, tv=mixer.tv))
    rules, costs = torch.tensor(rules), torch.stack(costs)
    steps = len(solution.path) - 1
    if mixer.tv:
        assert (costs[1:].argmin(0)[~solution.success] + 1 < steps).any(), "the test needs a row that was better before"
    for row in range(len(images)):
        taken = int(solution.iterations[row])
        if solution.success[row]:
            assert rules[taken, row] and not rules[1:taken, row].any()
            kept = solution.path[taken, row]
            assert torch.equal(solution.path[steps, row], kept), "a row that is done stays as it is"
        else:
            assert taken == steps == mixer.max_iter and not rules[1:, row].any()
            kept = solution.path[1 + costs[1:, row].argmin(), row]
        torch.testing.assert_close(solution.mix.masks()[row], plain_masks(kept[None], SIZE)[0])
    shown = teacher(solution.mix.apply(images)).argsort(1, descending=True)[:, :k].sort(1).values
    assert torch.equal((shown == solution.classes.sort(1).values).all(1), solution.success)


@settings(max_examples=8)
@given(seed=seeds, k=st.integers(2, 3))
def test_rows_are_solved_as_they_would_be_alone(seed, k):
    teacher, images = scene(rows=6, seed=seed, dtype=torch.float64)
    mixer = SuperMix(teacher, k=k, side=4, max_iter=8)
    together = mixer.solve(images, generator=seeded(seed))
    for row, sources in enumerate(together.mix.sources):
        circle = (torch.arange(k)[:, None] + torch.arange(k)) % k
        ratios = together.ratios[row].expand(k, k)
        alone = mixer.solve(images[sources], sources=circle, ratios=ratios)
        assert alone.success[0] == together.success[row] and alone.iterations[0] == together.iterations[row]
        torch.testing.assert_close(alone.mix.masks()[0], together.mix.masks()[row], rtol=0, atol=1e-5)


def test_the_teacher_sees_an_open_row_once_a_step_and_a_row_that_is_done_no_more():
    teacher, images = scene()
    seen = []
    teacher.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    solution = SuperMix(teacher, max_iter=8).solve(images, generator=seeded(1))
    assert sum(seen) == len(images) + int((solution.iterations + 1).sum())
    assert len(seen) == 2 + int(solution.iterations.max())


def test_without_stopping_every_row_takes_all_steps_and_has_the_last_masks():
    teacher, images = scene()
    solution = SuperMix(teacher, max_iter=5).solve(images, generator=seeded(), stop=False, keep_path=True)
    assert solution.iterations.tolist() == [5] * len(images) and len(solution.path) == 6
    torch.testing.assert_close(solution.mix.masks(), masks_of(solution.path[-1], SIZE), rtol=0, atol=0)
    assert SuperMix(teacher).solve(images, generator=seeded()).path is None


def test_at_least_one_step_is_taken():
    """Two classes are always the two most likely ones, before any step, too."""
    teacher, images = scene(rows=4, classes=2)
    solution = SuperMix(teacher, sparsity=0.0).solve(images, generator=seeded())
    assert solution.success.all() and solution.iterations.tolist() == [1] * 4
    assert bool((solution.mix.masks() != 0.5).any())


@pytest.mark.parametrize("teacher", [
    linear_teacher(torch.zeros(4, 1, 12, 12)), Teacher(build("bench-net", 10, 1, 4, seeded(1))),
], ids=["constant", "untrained"])
def test_a_teacher_that_takes_all_images_for_one_class_gives_them_back_and_says_so(teacher):
    images = torch.rand(6, 1, 12, 12, generator=seeded())
    assert len(teacher(images).argmax(1).unique()) == 1
    solution = SuperMix(teacher, k=3, max_iter=4).solve(images, generator=seeded())
    assert not solution.success.any() and solution.iterations.tolist() == [4] * 6
    assert all(len(set(row)) == 3 for row in solution.mix.sources.tolist())
    assert same_mix(solution.mix, Mix(solution.mix.sources, solution.mix.form, solution.mix.weights))
    torch.testing.assert_close(solution.mix.masks().sum(1), torch.ones(6, 12, 12), rtol=0, atol=1e-6)


def test_weights_are_the_ratios_and_sources_have_different_classes():
    teacher, images = scene()
    solution = SuperMix(teacher, k=3).solve(images, generator=seeded())
    assert torch.equal(solution.mix.weights, solution.ratios.float())
    assert torch.equal(solution.classes, teacher(images).argmax(1)[solution.mix.sources])
    assert all(len(set(classes)) == 3 for classes in solution.classes.tolist())
    targets = solution.mix.targets(teacher(images).argmax(1), CLASSES)
    torch.testing.assert_close(targets, soft_target(solution.ratios, solution.classes, CLASSES))


def test_ratios_follow_the_dirichlet_law():
    """Dir(α, α) is Beta(α, α), with a variance of 1 / (8 α + 4)."""
    teacher, images = scene(rows=600)
    ratios = SuperMix(teacher, alpha=3.0, max_iter=1, side=2).solve(images, generator=seeded()).ratios[:, 0]
    assert abs(float(ratios.mean()) - 0.5) < 4.5 * math.sqrt(1 / 28 / 600)
    assert float(ratios.var()) == pytest.approx(1 / 28, rel=0.25)


def test_nothing_moves_but_the_masks():
    teacher, images = scene()
    images.requires_grad_()
    kept, mixer = teacher.checksum, SuperMix(teacher, max_iter=4)
    with unchanged_global_rng():
        enabled = mixer.draw(images, generator=seeded())
        with torch.no_grad():
            disabled = mixer.draw(images, generator=seeded())
    assert same_mix(enabled, disabled)
    assert images.grad is None and not enabled.form.maps.requires_grad and not enabled.shares.requires_grad
    assert all(each.grad is None for each in teacher.parameters())
    assert Teacher(teacher.network).checksum == kept


def test_images_of_another_size_or_dtype_than_the_masks():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5))
    images = torch.randn(6, 3, 11, 17, generator=seeded())
    mixer = SuperMix(Teacher(network), max_iter=3)
    assert mixer.draw(images, generator=seeded()).masks().shape == (6, 2, 11, 17)
    for dtype in (torch.float64, torch.bfloat16):
        mix = mixer.draw(images.to(dtype), generator=seeded())
        assert mix.form.maps.dtype == torch.float32 and mix.apply(images.to(dtype)).dtype == dtype


def test_labels_are_not_looked_at():
    teacher, images = scene()
    labels = torch.arange(len(images))
    mixer = SuperMix(teacher, max_iter=2)
    assert same_mix(mixer.draw(images, labels, generator=seeded()), mixer.draw(images, generator=seeded()))


# Refusals.


def _spoiled(value):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    network[1].bias.data[1] = value
    return Teacher(network)


@pytest.mark.parametrize("make, message", [
    (lambda images: SuperMix(scene()[0], k=7).solve(images), "k to be at most the teacher's 6 classes, received 7"),
    (lambda images: SuperMix(_spoiled(math.nan)).draw(images), "expected finite logits .* received NaN or infinite"),
    (lambda images: SuperMix(_spoiled(math.inf)).draw(images), "expected finite logits .* received NaN or infinite"),
    (lambda images: SuperMix(Teacher(nn.Identity())).draw(images), r"finite logits .* received shape \(12, 1, 8, 8\)"),
    (lambda images: SuperMix(scene()[0], k=3).draw(images[:2]), "expected at least k = 3 images to mix, received 2"),
    (lambda images: SuperMix(scene()[0]).draw(images.int()), "expected floating-point images, received torch.int32"),
    (lambda images: SuperMix(scene()[0]).draw(images[0]), r"expected images of shape \(B, C, H, W\)"),
    (lambda images: SuperMix(scene()[0]).solve(images, sources=torch.zeros(12, 3, dtype=torch.int64)),
     r"expected sources of shape \(12, 2\), received \(12, 3\)"),
    (lambda images: SuperMix(scene()[0]).solve(images, ratios=torch.ones(12)),
     r"expected ratios of shape \(12, 2\), received \(12,\)"),
    (lambda images: DistinctPredictions(CutMix(), _spoiled(math.nan)).draw(images), "expected finite logits"),
    (lambda images: DistinctPredictions(CutMix(), scene()[0]).draw(images[:1]), "expected at least 2 rows"),
])
def test_what_cannot_be_mixed_is_one_error(make, message):
    with pytest.raises(ValueError, match=message):
        make(scene()[1])


@pytest.mark.parametrize("options, message", [
    ({"teacher": nn.Flatten()}, "expected a mixlab.models.Teacher, received Flatten"),
    *(({"k": k}, "expected an integer k >= 2, received") for k in (0, 1, 2.0, True)),
    *(({"alpha": alpha}, "expected a finite .*alpha .*, received") for alpha in (0, -1, math.inf, "3")),
    *(({name: wrong}, f"expected a finite number {name} >= 0, received")
      for name in ("sparsity", "sigma", "tv") for wrong in (-1, math.nan, None)),
    *(({name: wrong}, f"expected an integer {name} >= 1, received")
      for name in ("side", "max_iter") for wrong in (0, 2.5, True)),
    *(({"lr": wrong}, "expected a finite lr > 0, received") for wrong in (0, math.nan, "1")),
    *(({"step": wrong}, "expected a step of .*'sgd'.*, received") for wrong in ("adam", None)),
    ({"divergence": "symmetric"}, "expected a divergence of .*'reverse'.*, received"),
    ({"printed_sign": 1}, "expected a printed_sign of True or False, received 1"),
])
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SuperMix(**{"teacher": scene()[0]} | options)


# As plain data.


@pytest.fixture
def filed(tmp_path):
    teacher = Teacher(build("bench-net", CLASSES, 1, 4), mean=(0.25,), std=(0.5,))
    teacher.save(tmp_path / "teacher.pt", name="bench-net", num_classes=CLASSES, in_channels=1, width=4)
    return teacher


@pytest.mark.parametrize("wrap", [lambda mixer: mixer, lambda mixer: mixers.PerSample(ShuffledMasks(mixer), 0.5)])
@pytest.mark.parametrize("adapt", [False, True])
def test_a_mixer_with_a_teacher_is_plain_data_and_back(filed, wrap, adapt):
    teacher = filed.for_images((0.0,), (1.0,)) if adapt else filed
    images = torch.rand(6, 1, 12, 12, generator=seeded())
    for inner in (SuperMix(teacher, k=3, max_iter=2), DistinctPredictions(CutMix(), teacher)):
        mixer = wrap(inner)
        again = mixers.from_config(json.loads(json.dumps(mixers.to_config(mixer))))
        assert again == mixer and hash(again) == hash(mixer) and repr(again) == repr(mixer)
        assert same_mix(*(each.draw(images, generator=seeded(4)) for each in (mixer, again)))
    assert (SuperMix(teacher) == SuperMix(filed)) == (not adapt)
    assert SuperMix(filed) != SuperMix(filed, k=3) and SuperMix(filed) != SuperMix(scene()[0])


def test_the_file_of_another_teacher_and_a_teacher_without_a_file_are_refused(filed):
    config = mixers.to_config(SuperMix(filed))
    assert config == {"name": "supermix", "teacher": {"checkpoint": filed.checkpoint, "checksum": filed.checksum}}
    config["teacher"]["checksum"] = "f" * 64
    with pytest.raises(ValueError, match="expected the teacher ffffffffffff at"):
        mixers.from_config(config)
    with pytest.raises(ValueError, match=r"expected a teacher with a file.*received Teacher\(Sequential"):
        mixers.to_config(SuperMix(scene()[0]))
    for wrong in ({"file": "x"}, {"checksum": "f"}, {"checkpoint": filed.checkpoint, "sum": 1}):
        with pytest.raises(ValueError, match="expected a teacher such as"):
            mixers.from_config({"name": "supermix", "teacher": wrong})
    with pytest.raises(ValueError, match="expected a mixlab.models.Teacher, received 'teacher.pt'"):
        mixers.from_config({"name": "supermix", "teacher": "teacher.pt"})
    with pytest.raises(ValueError, match=r"expected supermix with \['teacher'\], received \[\]"):
        mixers.from_config({"name": "supermix"})


# The controls.


@given(batch=st.integers(2, 12), seed=seeds)
def test_shuffled_masks_come_from_another_row_each_from_one(batch, seed):
    images = torch.zeros(batch, 1, 6, 6)
    own = Mixup(1.0).draw(images, generator=seeded(seed))
    mix = ShuffledMasks(Mixup(1.0)).draw(images, generator=seeded(seed))
    assert torch.equal(mix.sources, own.sources) and torch.equal(mix.weights, mix.shares)
    giver = (mix.weights[:, None] - own.weights[None]).abs().sum(2).argmin(1)
    assert torch.equal(mix.weights, own.weights[giver])
    assert torch.equal(giver.sort().values, torch.arange(batch)), "every row's masks are used once"
    assert not (giver == torch.arange(batch)).any(), "no row keeps its own"


def test_shuffling_moves_masks_shares_and_declared_weights_together():
    teacher, images = scene()
    mixer = SuperMix(teacher, k=3, max_iter=3)
    own, mix = (each.draw(images, generator=seeded(2)) for each in (mixer, ShuffledMasks(mixer)))
    giver = (mix.weights[:, None] - own.weights[None]).abs().sum(2).argmin(1)
    assert not (giver == torch.arange(len(images))).any()
    assert torch.equal(mix.masks(), own.masks()[giver]) and torch.equal(mix.shares, own.shares[giver])
    assert torch.equal(mix.sources, own.sources)
    boxes = ShuffledMasks(DCutMix(3)).draw(images, generator=seeded(2))
    assert same_mix(boxes, Mix(boxes.sources, boxes.form))


def test_all_circles_are_as_likely():
    mixer, own = ShuffledMasks(Mixup(1.0)), Mixup(1.0)
    counts, n = {}, 1200
    for seed in range(n):
        mix, plain = (each.draw(torch.zeros(4, 2), generator=seeded(seed)) for each in (mixer, own))
        giver = tuple((mix.weights[:, None] - plain.weights[None]).abs().sum(2).argmin(1).tolist())
        counts[giver] = counts.get(giver, 0) + 1
    assert len(counts) == 6
    assert_probabilities(list(counts.values()), [1 / 6] * 6, n)


@pytest.mark.parametrize("inner", [Mixup(1.0), CutMix(), DCutMix(3), mixers.PuzzleMix(transport=False)], ids=repr)
def test_distinct_predictions_keep_the_masks_and_exchange_the_partners(inner):
    teacher, images = scene()
    saliency = torch.rand(len(images), *SIZE, generator=seeded()) if inner.needs_saliency else None
    own, mix = (each.draw(images, saliency=saliency, generator=seeded(2))
                for each in (inner, DistinctPredictions(inner, teacher)))
    assert torch.equal(mix.masks(SIZE), own.masks(SIZE)) and torch.equal(mix.weights, own.weights)
    assert torch.equal(mix.shares, own.shares) and mix.anchored
    classes = teacher(images).argmax(1)[mix.sources]
    assert all(len(set(row)) == mix.k for row in classes.tolist())
    assert not torch.equal(mix.sources, own.sources)


def test_distinct_predictions_leave_alone_what_is_not_mixed():
    mix = DistinctPredictions(mixers.Identity(), scene()[0]).draw(torch.rand(1, 1, *SIZE))
    assert mix.k == 1 and isinstance(mix.form, Constant)
