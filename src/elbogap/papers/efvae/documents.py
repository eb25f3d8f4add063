"""Word counts of documents as sparse rows on a device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from elbogap.tables import Arrays


@dataclass(frozen=True)
class Counts:
    """Sparse counts of N documents with E entries in all.

    Attributes:
        starts: first entry of each document, `[N]`.
        words: word of each entry, `[E]`.
        values: count of each entry, `[E]`.
        lengths: sum of the counts of each document, `[N]`.
    """

    starts: Tensor
    words: Tensor
    values: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, arrays: Arrays, part: str, device: str) -> Self:
        """The documents of a part, from what :mod:`elbogap.papers.efvae.experiments.documents` stores."""
        ends, words, values = (
            torch.from_numpy(arrays[f"{part}_{name}"]).to(device) for name in ("ends", "words", "counts")
        )
        starts = functional.pad(ends[:-1], (1, 0))
        totals = functional.pad(values.cumsum(0), (1, 0))
        return cls(starts, words, values.float(), (totals[ends] - totals[starts]).float())

    def __len__(self) -> int:
        """The number N of documents."""
        return len(self.starts)

    def take(self, rows: Tensor) -> "Counts":
        """The documents `rows`, in this order."""
        sizes = functional.pad(self.starts, (0, 1), value=len(self.words)).diff()[rows]
        starts = sizes.cumsum(0) - sizes
        entries = (self.starts[rows] - starts).repeat_interleave(sizes)
        entries += torch.arange(len(entries), device=entries.device)
        return Counts(starts, self.words[entries], self.values[entries], self.lengths[rows])

    def split(self, size: int) -> Iterator["Counts"]:
        """Parts of `size` consecutive documents each; the last may have fewer."""
        rows = torch.arange(len(self), device=self.starts.device)
        return map(self.take, rows.split(size))

    def times(self, matrix: Tensor) -> Tensor:
        """The sparse product with a matrix with one row per word, `[V, H]` to `[N, H]`, differentiable."""
        return functional.embedding_bag(
            self.words, matrix, self.starts, mode="sum", per_sample_weights=self.values
        )
