"""Where randomness starts: a generator for every purpose, derived from what it is for.

Initialisation, data order, augmentation and mixing each have a stream of their own, so that changing one of them
leaves the others as they were: runs with one seed differ only in what is compared.
"""

import hashlib

import torch

__all__ = ["generator"]


def generator(*entropy: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a generator whose stream is a function of ``entropy`` alone.

    Args:
        *entropy: integers and strings that name the stream, such as ``(seed, "mix", rank, step)``. Equal tuples
            give equal streams, different tuples unrelated ones, on every machine and in every process. (A CPU's
            generator starts from 32 bits: of n tuples, about n² / 2^33 pairs share a stream by chance.)
        device: where the generator draws. CPU and CUDA draw different numbers from one seed.

    Raises:
        TypeError: for entropy that is neither an integer nor a string.

    Example:
        >>> draw = lambda *entropy: torch.rand(1, generator=generator(*entropy)).item()
        >>> draw(0, "mix", 3) == draw(0, "mix", 3), draw(0, "mix", 3) == draw(0, "order", 3)
        (True, False)
    """
    for item in entropy:
        if not isinstance(item, (int, str)):
            raise TypeError(f"expected integers and strings as entropy, received {type(item).__name__}")
    # repr keeps 1 and "1" apart; a cryptographic hash keeps (0, 11) and (1, 1) unrelated.
    digest = hashlib.blake2b(repr(entropy).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)
