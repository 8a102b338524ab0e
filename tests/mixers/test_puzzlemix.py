"""Puzzle Mix: the energy from its definition, and solvers against enumeration and linear programmes of their own."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import same_mix, seeded
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_matrix

from mixlab.masks import Soft, Transported
from mixlab.mixers import PuzzleMix, from_config, puzzlemix, to_config
from mixlab.mixers.puzzlemix import best_masks, best_plans, border_differences, energy
from mixlab.saliency import block_saliency, smooth_random_saliency

KINDS = ["smooth", "heavy", "spiked"]
seeds = st.integers(0, 10**6)
WEIGHTS = {"beta": 1.2, "gamma": 0.5, "eta": 0.2, "xi": 0.8}


def random_maps(batch, blocks, kind, generator):
    """``(B, b, b)`` float64 saliency: smooth; heavy-tailed; or nearly all in one block, the rest many decades below."""
    if kind == "smooth":
        return block_saliency(smooth_random_saliency(batch, (2 * blocks,) * 2, generator=generator), blocks).double()
    spread = {"heavy": 2.0, "spiked": 12.0}[kind]
    maps = torch.randn(batch, blocks, blocks, generator=generator, dtype=torch.float64).mul(spread).exp()
    return maps / maps.sum((1, 2), keepdim=True)


def random_problem(batch, blocks, kind, seed, **weights):
    """Saliencies, and the other arguments of the energy, with colours that change at some borders and not at others."""
    generator = seeded(seed)
    own, partner = (random_maps(batch, blocks, kind, generator) for _ in range(2))
    images = [torch.rand(batch, 3, 2 * blocks, 2 * blocks, generator=generator).round() for _ in range(2)]
    lam = torch.rand(batch, generator=generator, dtype=torch.float64)
    return own, partner, {"lam": lam, "borders": border_differences(*images, blocks), **WEIGHTS, **weights}


def neighbours(blocks):
    """Pairs of places that meet, numbered row by row."""
    for i, j in itertools.product(range(blocks), repeat=2):
        if i + 1 < blocks:
            yield i * blocks + j, (i + 1) * blocks + j
        if j + 1 < blocks:
            yield i * blocks + j, i * blocks + j + 1


def energy_by_hand(z, plans, s0, s1, d, lam, *, beta, gamma, eta, xi):
    """Formula 3 for one row in Python floats; ``d[i, j][k][l]`` is the difference of block i of k and block j of l."""
    blocks = math.isqrt(len(z))
    total = 0.0
    for place, mask in enumerate(z):
        total -= (1 - mask) * s0[plans[0][place]] + mask * s1[plans[1][place]]
        p = {0.0: (1 - lam) ** 2, 0.5: 2 * lam * (1 - lam), 1.0: lam**2}[mask]
        total -= eta / blocks**2 * math.log(p)
        for plan in plans:
            rows, columns = (abs(a - b) for a, b in zip(divmod(plan[place], blocks), divmod(place, blocks)))
            total += xi * (rows**2 + columns**2) / max(blocks - 1, 1) ** 2
    for i, j in neighbours(blocks):
        d00, d01, d10, d11 = d[i, j][0][0], d[i, j][0][1], d[i, j][1][0], d[i, j][1][1]
        p = (d10 + d01 - d11 - d00) / 2
        phi = d00 + (d10 - d00 - p) * z[i] + (d01 - d00 - p) * z[j] + p * (z[i] - z[j]) ** 2
        total += beta / (16 * blocks) * ((z[i] - z[j]) ** 2 + gamma * phi)
    return total


def differences_by_hand(borders, row, blocks):
    """``{(i, j): 2 x 2 differences}`` of one row."""
    table = {}
    for i, j in neighbours(blocks):
        (y, x), below = divmod(i, blocks), j == i + blocks
        side = borders.down if below else borders.right
        table[i, j] = side[row, :, :, y, x].tolist()
    return table


def all_labelings(blocks):
    """``(3^n, b, b)`` every mask there is."""
    labels = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)] * blocks**2)
    return labels.view(-1, blocks, blocks)


def energies_of_all(own, partner, options):
    """``(rows, 3^n)``: the energy of every mask, with blocks in their places."""
    labels = all_labelings(own.shape[1])
    count, found = len(labels), []
    for row in range(len(own)):
        borders = options["borders"]
        one = None if borders is None else type(borders)(*(side[row].expand(count, -1, -1, -1, -1) for side in borders))
        arguments = options | {"borders": one, "lam": options["lam"][row]}
        found.append(energy(labels, own[row].expand_as(labels), partner[row].expand_as(labels), **arguments))
    return torch.stack(found)


@given(blocks=st.sampled_from([1, 2, 3, 4]), kind=st.sampled_from(KINDS), seed=seeds)
def test_the_energy_is_formula_3(blocks, kind, seed):
    own, partner, options = random_problem(3, blocks, kind, seed)
    z = torch.randint(0, 3, own.shape, generator=seeded(seed)) / 2
    plans = torch.stack([torch.randperm(blocks**2, generator=seeded(seed + k)) for k in range(6)]).view(3, 2, -1)
    expected = [
        energy_by_hand(
            z[row].flatten().tolist(), plans[row].tolist(), own[row].flatten().tolist(), partner[row].flatten().tolist(),
            differences_by_hand(options["borders"], row, blocks), float(options["lam"][row]), **WEIGHTS,
        )
        for row in range(3)
    ]
    found = energy(z, own, partner, plans, **options)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@given(kind=st.sampled_from(KINDS), seed=seeds, beta=st.sampled_from([0.0, 1.2, 40.0]),
       gamma=st.sampled_from([0.0, 0.5, 1.0]), eta=st.sampled_from([0.0, 0.2, 5.0]))
def test_masks_are_the_best_of_all_labelings(kind, seed, beta, gamma, eta):
    own, partner, options = random_problem(4, 2, kind, seed, beta=beta, gamma=gamma, eta=eta)
    z = best_masks(own, partner, **{name: value for name, value in options.items() if name != "xi"})
    found = energy(z, own, partner, **options)
    torch.testing.assert_close(found, energies_of_all(own, partner, options).amin(1), rtol=0, atol=1e-7)


def test_masks_are_the_best_of_all_labelings_of_nine_blocks():
    for kind in KINDS:
        own, partner, options = random_problem(4, 3, kind, 5)
        z = best_masks(own, partner, **{name: value for name, value in options.items() if name != "xi"})
        best = energies_of_all(own, partner, options).amin(1)
        torch.testing.assert_close(energy(z, own, partner, **options), best, rtol=0, atol=1e-7)
        assert len(z.unique()) == 3, "expected an instance in which every label is used"
