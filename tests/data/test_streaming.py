"""The streaming loader: the same batches for any number of workers or ranks, and from any start."""

import pytest
import torch

from mixlab.data import StreamingLoader, draw_shapes
from mixlab.mixers import CutMix


class Pictures:
    """A dataset in torchvision's manner: a transform that draws from torch's global generator."""

    def __init__(self, rows=18):
        from torchvision.transforms import v2

        self.split = draw_shapes(rows, 16, torch.Generator().manual_seed(0))
        self.transform = v2.Compose([v2.RandomCrop(16, padding=2), v2.RandomHorizontalFlip()])

    def __len__(self):
        return len(self.split)

    def __getitem__(self, row):
        return self.transform(self.split.images[row].float() / 255), int(self.split.labels[row])


def same(one, other):
    pairs = list(zip(one, other, strict=True))
    return all(torch.equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


def test_workers_do_not_change_the_batches():
    settings = {"mixer": CutMix(alpha=1.0, num_classes=8), "seed": 4}
    here = list(StreamingLoader(Pictures(), 4, **settings).epoch(1))
    there = list(StreamingLoader(Pictures(), 4, **settings, workers=2).epoch(1))
    assert same(here, there) and len(here) == 5


def test_an_epoch_resumes_and_epochs_differ():
    loader = StreamingLoader(Pictures(), 4, mixer=CutMix(alpha=1.0, num_classes=8))
    whole = list(loader.epoch(2))
    assert same(whole[3:], list(loader.epoch(2, start=3)))
    assert same(list(loader), list(loader.epoch(0)))
    assert not same(whole, list(loader))


def test_transforms_act_and_the_global_generator_is_left_alone():
    pictures = Pictures()
    state = torch.get_rng_state()
    batches = list(StreamingLoader(pictures, 18, shuffle=False).epoch(0))
    assert torch.equal(torch.get_rng_state(), state)
    images, labels, _ = batches[0]
    assert torch.equal(labels, pictures.split.labels)
    untouched = [torch.equal(a, b.float() / 255) for a, b in zip(images, pictures.split.images)]
    assert sum(untouched) < 5  # a picture stays as it is in 1 of 50 draws


def test_ranks_together_see_the_global_batch():
    settings = {"seed": 3, "drop_last": True}
    whole = list(StreamingLoader(Pictures(), 4, **settings).epoch(0))
    for rank in range(2):
        part = list(StreamingLoader(Pictures(), 4, **settings, rank=rank, world=2).epoch(0))
        assert same([[part[rank::2] for part in batch] for batch in whole], part)


@pytest.mark.parametrize("mixer", [None, CutMix(alpha=1.0, num_classes=8)])
def test_rows_are_positions_in_the_dataset(mixer):
    loader = StreamingLoader(Pictures(), 4, mixer=mixer, seed=2)
    order = loader.schedule.order(1)
    assert torch.equal(torch.cat([batch.rows for batch in loader.epoch(1)]), order)


def test_targets_are_those_of_the_mix_that_was_applied():
    pictures = [(torch.full((3, 8, 8), float(label)), label) for label in range(8)]
    for images, targets, _ in StreamingLoader(pictures, 8, mixer=CutMix(alpha=1.0, num_classes=8)):
        # Each picture is flat in its own label, so a pixel names its source.
        for image, target in zip(images, targets):
            expected = torch.bincount(image[0].flatten().long(), minlength=8) / 64
            torch.testing.assert_close(target, expected.float())


def test_image_folders_stream(tmp_path):
    from PIL import Image
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    for name, level in (("dark", 10), ("light", 240)):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / name / f"{number}.png")
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    batches = list(StreamingLoader(ImageFolder(tmp_path, transform), 2))
    assert sorted(torch.cat([batch.labels for batch in batches]).tolist()) == [0, 0, 0, 1, 1, 1]
    for images, labels, _ in batches:
        torch.testing.assert_close(images[:, 0, 0, 0], torch.where(labels == 1, 240 / 255, 10 / 255))


def test_a_mixer_without_classes_is_refused():
    with pytest.raises(ValueError, match="given num_classes"):
        StreamingLoader(Pictures(), 4, mixer=CutMix(alpha=1.0))
