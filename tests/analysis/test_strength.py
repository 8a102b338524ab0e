"""One draw at several strengths: λ keeps its rank and has the right law, boxes grow about one centre."""

import pytest
import torch
from scipy.stats import beta, kstest

from mixlab.analysis.strength import mixes_at

IMAGES = torch.rand(5, 3, 40, 20, generator=torch.Generator().manual_seed(0))


def at(alpha, images=IMAGES):
    return mixes_at(alpha, images, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 8.0])  # below, float32 rounds many to 1
def test_lambda_has_the_law_and_keeps_its_rank(alpha):
    many = torch.zeros(4000, 1, 2, 2)
    lam, uniform = (at(each, many)[0].weights[:, 0].double() for each in (alpha, 1.0))
    law = beta(alpha, alpha)
    assert kstest(lam.numpy(), law.cdf).pvalue > 0.01
    assert torch.allclose(torch.from_numpy(law.cdf(lam)), uniform, atol=1e-3)


def test_stronger_mixing_draws_every_lambda_towards_one_half():
    lams = torch.stack([at(alpha)[0].weights[:, 0] for alpha in (0.1, 0.5, 1, 2, 8, 1e4)])
    assert ((lams - 0.5).abs().diff(dim=0) < 0).all() and torch.allclose(lams[-1], torch.tensor(0.5), atol=0.02)


def test_both_methods_mix_each_row_with_the_next_and_weigh_what_is_seen():
    mixup, cutmix = at(2.0)
    for mix in (mixup, cutmix):
        assert mix.sources.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]
        seen = mix.apply(torch.eye(5)[:, :, None, None].expand(5, 5, 40, 20)).mean((2, 3))
        assert torch.allclose(seen, mix.targets(torch.arange(5), 5), atol=1e-6)
    # Clipping takes away from the box, and its sides are rounded to pixels.
    assert (cutmix.weights[:, 1] <= mixup.weights[:, 1] + 0.05).all()


def test_boxes_grow_about_one_centre():
    small, large = (at(alpha)[1].masks()[:, 1] for alpha in (0.5, 8.0))
    lam = torch.stack([at(alpha)[0].weights[:, 0] for alpha in (0.5, 8.0)])
    for row in range(5):
        inner, outer = (small, large) if lam[0, row] > lam[1, row] else (large, small)
        assert (inner[row] <= outer[row]).all()


def test_what_does_not_fit_is_refused():
    for alpha in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive, finite alpha"):
            at(alpha)
    for images in (IMAGES[:1], IMAGES[0]):
        with pytest.raises(ValueError, match="expected images of shape"):
            at(1.0, images)
