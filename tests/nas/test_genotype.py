"""From weights of operations and edges to cells, and from cells to files and pictures."""

import json

import matplotlib
import pytest
import torch

from mixlab.nas import (
    OPERATIONS,
    Genotype,
    PC_DARTS_cifar,
    PC_DARTS_imagenet,
    derive,
    draw,
    read_genotype,
    shares,
    write_genotype,
)
from mixlab.nas.genotype import edges_of, nodes_of

matplotlib.use("agg")
NONE, MAX, AVERAGE, SKIP, SEP3, SEP5, DIL3, DIL5 = range(8)


def weights(*favourites, nodes=2):
    """α of one cell with an operation ahead on every edge, by so much; the other cell is flat."""
    alpha = torch.zeros(2, edges_of(nodes), 8)
    for edge, (kind, ahead) in enumerate(favourites):
        alpha[0, edge, kind] = ahead
    return alpha


def test_the_two_edges_with_the_best_operations_are_kept_the_better_first():
    alpha = weights((SEP3, 1.0), (MAX, 2.0), (SKIP, 3.0), (DIL5, 1.0), (AVERAGE, 2.0))
    assert derive(alpha, torch.zeros(2, 5)).normal == (
        (("max_pool_3x3", 1), ("sep_conv_3x3", 0)), (("skip_connect", 0), ("avg_pool_3x3", 2)))


def test_none_takes_its_part_and_is_never_chosen():
    alpha = weights((NONE, 9.0), (NONE, 9.0), (NONE, 5.0), (SEP5, 0.1), (SEP3, 0.2))
    alpha[0, 0, DIL3] = 1.0
    # Edge 2 of the second node loses: nearly all of its weight is on none.
    assert derive(alpha, torch.zeros(2, 5)).normal == (
        (("dil_conv_3x3", 0), ("max_pool_3x3", 1)), (("sep_conv_3x3", 2), ("sep_conv_5x5", 1)))
    # Of two edges, the one with the better operation loses if none takes more of its share.
    alpha = weights((SEP3, 2.0), (SKIP, 1.0))
    alpha[0, 0, NONE] = 4.0
    assert derive(alpha, torch.zeros(2, 5)).normal[0] == (("skip_connect", 1), ("sep_conv_3x3", 0))


def test_edge_weights_can_reverse_what_operations_say():
    alpha, beta = weights((SKIP, 1.0), (SKIP, 1.0), (SEP3, 2.0), (SEP3, 1.9), (SEP3, 0.5)), torch.zeros(2, 5)
    assert {source for _, source in derive(alpha, beta).normal[1]} == {0, 1}
    beta[0, 2:] = torch.tensor([0.0, 3.0, 2.5])
    assert derive(alpha, beta).normal[1] == (("sep_conv_3x3", 1), ("sep_conv_3x3", 2))
    beta[0, :2] = torch.tensor([-50.0, -40.0])  # of another node: the second does not notice
    assert derive(alpha, beta).normal[1] == (("sep_conv_3x3", 1), ("sep_conv_3x3", 2))
    assert derive(alpha, beta).normal[0] == (("skip_connect", 1), ("skip_connect", 0))


def test_against_every_choice_one_by_one(generator):
    alpha, beta = torch.randn(2, 14, 8, generator=generator), torch.randn(2, 14, generator=generator)
    found = derive(alpha, beta)
    for cell, name in enumerate(("normal", "reduce")):
        start = 0
        for node, edges in enumerate(getattr(found, name)):
            scores = {}
            for source in range(2 + node):
                own = beta[cell, start:start + 2 + node].exp()
                operations = alpha[cell, start + source].exp()
                scores |= {(kind, source): (operations[number] / operations.sum() * own[source] / own.sum()).item()
                           for number, kind in enumerate(OPERATIONS) if kind != "none"}
            first = max(scores, key=scores.get)
            second = max((edge for edge in scores if edge[1] != first[1]), key=scores.get)
            assert edges == (first, second)
            start += 2 + node
    assert found.normal_concat == found.reduce_concat == (2, 3, 4, 5)


def test_shares_of_a_node_sum_to_one(generator):
    beta = torch.randn(2, 14, generator=generator, dtype=torch.double)
    for part, own in zip(shares(beta).split([2, 3, 4, 5], 1), beta.split([2, 3, 4, 5], 1), strict=True):
        torch.testing.assert_close(part.sum(1), torch.ones(2, dtype=torch.double))
        torch.testing.assert_close(part[:, 0] / part[:, 1], (own[:, 0] - own[:, 1]).exp())
    assert [nodes_of(edges_of(nodes)) for nodes in range(1, 6)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("genotype", [PC_DARTS_cifar, PC_DARTS_imagenet])
def test_a_file_gives_the_same_cells(genotype, tmp_path):
    path = tmp_path / "new" / "cells.json"
    write_genotype(path, genotype, {"data": "somewhere"})
    assert read_genotype(path) == genotype and json.loads(path.read_text())["about"] == {"data": "somewhere"}
    # Lists and ranges, as published code has them, are the same genotype.
    lists = [[list(edge) for edge in node] for node in genotype.normal]
    again = Genotype(lists, genotype.reduce, range(2, 6), [2, 3, 4, 5])
    assert again == genotype and hash(again) == hash(genotype)


def test_a_genotype_of_another_space_is_refused(tmp_path):
    path, plain = tmp_path / "cells.json", PC_DARTS_cifar.as_dict()
    for change, message in (
        ({"space": ["none", "nor_conv_1x1"]}, "a genotype of the space none, max_pool_3x3.*received one of the space"),
        ({"normal": [[["nor_conv_1x1", 0], ["skip_connect", 1]]]}, "operations of the space .* 'nor_conv_1x1'"),
        ({"format": 7}, "format 1"), ({"more": 1}, "in a genotype, received"),
    ):
        path.write_text(json.dumps(plain | change))
        with pytest.raises(ValueError, match=f"expected a file of `mixlab search` at .*{message}"):
            read_genotype(path)
    path.write_text("cells")
    with pytest.raises(ValueError, match="expected a file of `mixlab search`"):
        read_genotype(path)
    with pytest.raises(FileNotFoundError):
        read_genotype(tmp_path / "none.json")


BOTH = (("skip_connect", 0), ("skip_connect", 1))


@pytest.mark.parametrize(("normal", "concat", "message"), [
    ([], None, "expected nodes in the normal cell, received none"),
    ([BOTH[:1]], None, "two edges of different sources for node 0"),
    ([BOTH, (("skip_connect", 1), ("sep_conv_3x3", 1))], None, "two edges of different sources for node 1"),
    ([(("skip_connect", 0), ("skip_connect", 2))], None, "a source from 0 to 1 for node 0 .* received 2"),
    ([(("none", 0), ("skip_connect", 1))], None, "received 'none'"),
    ([3], None, "edges .operation, source."), ([BOTH], (1, 2), "nodes of .2,. to put together"),
    ([BOTH], (2, 2), "nodes of"),
])
def test_cells_that_are_none(normal, concat, message):
    with pytest.raises(ValueError, match=message):
        Genotype(normal, [BOTH], concat)


def test_weights_that_are_none():
    with pytest.raises(ValueError, match="expected alpha .2, edges, 8. .* received .2, 5, 7."):
        derive(torch.zeros(2, 5, 7), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="2, 5, 9, 14, …, received 6"):
        derive(torch.zeros(2, 6, 8), torch.zeros(2, 6))
    with pytest.raises(ValueError, match="finite"):
        derive(torch.full((2, 5, 8), torch.nan), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="positive integer nodes, received 0"):
        edges_of(0)


def test_the_drawing_names_every_operation_and_has_an_arrow_for_every_edge():
    figure = draw(PC_DARTS_cifar)
    for axes, cell in zip(figure.axes, (PC_DARTS_cifar.normal, PC_DARTS_cifar.reduce), strict=True):
        texts = [each.get_text() for each in axes.texts]
        expected = sorted(kind for node in cell for kind, _ in node)
        assert sorted(text for text in texts if text in OPERATIONS) == expected
        assert sum(hasattr(each, "arrow_patch") for each in axes.texts) == len(expected) + 4
    figure.canvas.draw()
    matplotlib.pyplot.close(figure)
    with pytest.raises(ValueError, match="two axes, received 1"):
        draw(PC_DARTS_cifar, figure.axes[:1])
