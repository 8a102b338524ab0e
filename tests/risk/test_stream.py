"""A loop that is stopped and started again goes on with new mixes: the state of a risk knows how far its mixer is."""

import pickle

import pytest
import torch
from torch import nn

from mixlab.mixers import CutMix, ManifoldMixup, Mixup
from mixlab.risk import EmpiricalRisk, LaMixRisk, ManifoldRisk, SaliencyRisk, VicinalRisk
from mixlab.risk.base import Risk

BATCH = torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
KINDS = {
    "vicinal": lambda: VicinalRisk(Mixup()),
    "saliency": lambda: SaliencyRisk(CutMix()),
    "manifold": lambda: ManifoldRisk(ManifoldMixup(Mixup(), ["", "0"])),
    "lamix": lambda: LaMixRisk(3, 16, layer="1"),
}


def losses(risk: Risk, count: int) -> list[float]:
    return [risk(MODEL, BATCH, step=1).item() for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_loaded_state_goes_on_where_the_saved_one_was(kind, tmp_path):
    whole = losses(kind(), 6)
    first = kind()
    assert losses(first, 3) == whole[:3]
    torch.save(first.state_dict(), tmp_path / "risk.pt")
    again = kind()
    again.load_state_dict(torch.load(tmp_path / "risk.pt", weights_only=True))
    assert losses(again, 3) == whole[3:] != whole[:3]


def test_so_it_does_inside_another_module():
    whole, first, again = losses(VicinalRisk(Mixup()), 4), VicinalRisk(Mixup()), VicinalRisk(Mixup())
    losses(first, 2)
    nn.ModuleDict({"risk": again, "net": nn.Linear(1, 1)}).load_state_dict(
        nn.ModuleDict({"risk": first, "net": nn.Linear(1, 1)}).state_dict())
    assert losses(again, 2) == whole[2:]


def test_a_state_from_before_the_first_draw_starts_from_the_beginning():
    risk = VicinalRisk(Mixup())
    before = risk.state_dict()
    assert not before
    first = losses(risk, 2)
    risk.load_state_dict(before)
    assert losses(risk, 2) == first


def test_a_loop_with_a_generator_keeps_nothing():
    risk = VicinalRisk(Mixup())
    risk(MODEL, BATCH, generator=torch.Generator())
    assert not risk.state_dict() and not EmpiricalRisk().state_dict()


def test_another_rank_goes_on_with_a_stream_of_its_own(monkeypatch):
    mixer = Mixup()
    begun = [mixer.draw(BATCH[0]).shares for _ in range(3)]
    state = mixer.stream_state()
    following = mixer.draw(BATCH[0]).shares
    monkeypatch.setenv("RANK", "1")
    fresh = Mixup()
    of_rank = [fresh.draw(BATCH[0]).shares for _ in range(4)]
    other = Mixup()
    other.set_stream_state(state)
    drawn = other.draw(BATCH[0]).shares
    assert not any(torch.equal(drawn, each) for each in (*begun, following, *of_rank))
    again = Mixup()
    again.set_stream_state(state)
    assert torch.equal(again.draw(BATCH[0]).shares, drawn)


def test_a_rank_that_is_known_only_later_goes_on_all_the_same(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    mixer = Mixup()
    mixer.draw(BATCH[0])
    state, following = mixer.stream_state(), mixer.draw(BATCH[0]).shares
    monkeypatch.delenv("RANK")
    again = Mixup()
    again.set_stream_state(state)
    assert torch.equal(again.stream_state(), state)
    monkeypatch.setenv("RANK", "1")  # as a process group does that is started after the state was loaded
    assert torch.equal(again.draw(BATCH[0]).shares, following)


def test_the_tools_for_distributed_checkpoints_carry_it():
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

    first, again = (nn.ModuleDict({"risk": VicinalRisk(Mixup()), "net": nn.Linear(1, 1)}) for _ in range(2))
    losses(first["risk"], 2)
    set_model_state_dict(again, get_model_state_dict(first))
    assert losses(again["risk"], 2) == losses(first["risk"], 2)


def test_the_stream_is_no_part_of_a_pickle():
    mixer = Mixup()
    first = mixer.draw(BATCH[0]).shares
    assert torch.equal(pickle.loads(pickle.dumps(mixer)).draw(BATCH[0]).shares, first)


@pytest.mark.parametrize("state", [torch.zeros(3), *(torch.zeros(n, dtype=torch.uint8) for n in (4, 20))])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError, match="expected what stream_state"):
        Mixup().set_stream_state(state)
