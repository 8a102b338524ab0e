"""A trained generator, frozen, with the law of its labels; and its file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path

import torch
from torch import Generator, Tensor

from mixlab.files import write_atomically
from mixlab.generator.law import check_law, soft_labels
from mixlab.generator.unet import ConditionalUNet
from mixlab.models.frozen import Frozen, read

__all__ = ["SampleGenerator"]


class SampleGenerator(Frozen):
    """A frozen copy of a generator: no gradients in its weights, always in evaluation mode, known by its checksum.

    It makes images with the running statistics of its batch normalisation, so what it makes of an image does not depend
    on the batch. As a part of a risk it enters no optimiser and no checkpoint, as a `mixlab.models.Teacher` does.

    Args:
        network: copied. Its `mean` and `std` are those of the images that it takes and makes, where it has them.
        epsilon, background: the law of the labels that it was trained for, see `mixlab.generator.soft_labels`.
        classifier: checksum of the frozen classifier W' that it was trained against, if known.
        about: what else is to be known of it, plain data: on what it was trained, how long. It is kept in the file, and
            is no part of what makes two generators the same one.
        checkpoint: the file it was read from, if there is one.

    Attributes:
        checksum: sha256 of its weights and buffers, 64 hexadecimal digits.
        input_mean, input_std: the moments by which the images it is given, and gives back, are normalised: those of the
            network, but for one that `for_images` made.

    Raises:
        ValueError: for a network that is no `ConditionalUNet`, or a law outside its values.

    Example:
        >>> generator = SampleGenerator(ConditionalUNet(3, in_channels=1, base=2, downs=1, output="free"))
        >>> images, labels = torch.rand(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])
        >>> made, mu = generator.draw(images, labels, generator=torch.Generator().manual_seed(0))
        >>> made.shape, mu.shape, made.requires_grad, generator.train().training
        (torch.Size([4, 1, 6, 6]), torch.Size([4, 3]), False, False)
    """

    kind = "generator"
    no_part_of_identity = (*Frozen.no_part_of_identity, "about")

    def __init__(self, network: ConditionalUNet, *, epsilon: float = 0.5, background: str = "uniform",
                 classifier: str | None = None, about: Mapping | None = None,
                 checkpoint: str | PathLike | None = None):
        if not isinstance(network, ConditionalUNet):
            raise ValueError(f"expected a mixlab.generator.ConditionalUNet, received {network!r}")
        check_law(network.num_classes, epsilon, background)
        super().__init__(network, mean=network.mean, std=network.std, checkpoint=checkpoint)
        self.epsilon, self.background = float(epsilon), background
        self.classifier, self.about = classifier, dict(about or {})

    @property
    def num_classes(self) -> int:
        """Numbers in a soft label."""
        return self.network.num_classes

    def forward(self, images: Tensor, mu: Tensor) -> Tensor:
        """Map images (B, C, H, W) and soft labels (B, classes) to images, normalised as those that came.

        Raises:
            ValueError: for sizes that do not fit, see `ConditionalUNet.check`.
        """
        if not self.adapted:
            return self.network(images, mu)
        return (self.network(images * self._factor + self._shift, mu) - self._shift) / self._factor

    def make(self, images: Tensor, mu: Tensor) -> Tensor:
        """The images that it makes, without a graph, in the type of those that came.

        It computes in the type of its own weights: what is trained on is not to be rounded, whatever a student computes
        in.
        """
        like = next(self.network.parameters())
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self(images.to(like.dtype), mu).to(images.dtype)

    def draw(self, images: Tensor, labels: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw a soft label for each image by this generator's law, and make the image for it.

        Args:
            images: (B, C, H, W), normalised.
            labels: (B,) integers, the classes of the images.
            generator: source of randomness.

        Returns:
            Images (B, C, H, W) of the same type, and μ (B, classes) float32.

        Raises:
            ValueError: whatever `soft_labels` or the network finds wrong.
        """
        mu = soft_labels(labels, self.num_classes, self.epsilon, background=self.background, generator=generator)
        return self.make(images, mu), mu

    def save(self, path: str | PathLike) -> None:
        """Write one file with all that `load` needs: sizes and options, weights, law, the classifier's checksum.

        It is then this generator's `checkpoint`. The file is there whole or not at all.

        Args:
            path: the file; its folder is made.

        Raises:
            OSError: if the disk refuses; whatever was at `path` is still there.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> generator = SampleGenerator(ConditionalUNet(3, base=2, downs=1, output="free"), epsilon=0.25)
            >>> with TemporaryDirectory() as folder:
            ...     generator.save(f"{folder}/generator.pt")
            ...     again = SampleGenerator.load(f"{folder}/generator.pt", checksum=generator.checksum)
            >>> again.checksum == generator.checksum, again.epsilon, again.network.output
            (True, 0.25, 'free')
        """
        content = {
            "generator": self.network.config, "epsilon": self.epsilon, "background": self.background,
            "weights": {name: value.cpu() for name, value in self.network.state_dict().items()},
            "classifier": self.classifier, "about": self.about, "checksum": self.checksum,
        }
        write_atomically(Path(path), lambda file: torch.save(content, file))
        self.checkpoint = fspath(path)

    @classmethod
    def load(cls, path: str | PathLike, checksum: str | None = None, classifier: str | None = None) -> SampleGenerator:
        """Read a file of `save`, on the CPU.

        Args:
            path: the file.
            checksum: what the generator's must be, if that is known.
            classifier: checksum of the classifier that it must have been trained against, if that matters.

        Raises:
            ValueError: for a file that is damaged or none of `save` (a classifier's, say), the file of another
                generator, or one that was trained against another classifier.
            FileNotFoundError: where there is no file.
        """

        def made(content: dict) -> SampleGenerator:
            if "generator" not in content:
                raise ValueError(f"it has {', '.join(map(str, content))} and no generator")
            network = ConditionalUNet(**content["generator"])
            network.load_state_dict(content["weights"])
            return cls(network, checkpoint=path, **{name: content[name] for name in
                                                    ("epsilon", "background", "classifier", "about")})

        found = read(path, cls.kind, made, checksum)
        if classifier is not None and found.classifier != classifier:
            received = "one of an unknown classifier" if found.classifier is None else found.classifier[:12]
            raise ValueError(f"expected a generator that was trained against the classifier {classifier[:12]} at "
                             f"{path}, received {received}")
        return found
