"""Word counts of documents as sparse rows on a device, and what of a document's NLL depends on no model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.special import gammaln, xlogy
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


def smoothed_frequencies(counts: csr_array) -> np.ndarray:
    """The corpus distribution f0, (count_k + 1 / V) normalised, `[V]` in float64."""
    totals = np.asarray(counts.sum(0), dtype=float).ravel()
    return (totals + 1 / len(totals)) / (totals.sum() + 1)


def log_likelihood_of_itself(counts: csr_array, pseudo_word: np.ndarray) -> np.ndarray:
    """sum_k x_k log(x_k / l) for x = c + f: minus length times entropy of the document itself, in nats.

    Args:
        counts: c `[N, V]`.
        pseudo_word: f `[V]`, nowhere negative.

    Returns:
        `[N]` in float64.
    """
    totals = np.asarray(counts.sum(1), dtype=float).ravel() + pseudo_word.sum()
    return _summed(counts, pseudo_word, lambda x: xlogy(x, x)) - xlogy(totals, totals)


def log_base_measure(counts: csr_array, pseudo_word: np.ndarray) -> np.ndarray:
    """log [l! / prod_k x_k!] of eq. (13) for x = c + f, with the gamma function; as above, in nats."""
    totals = np.asarray(counts.sum(1), dtype=float).ravel() + pseudo_word.sum()
    return gammaln(totals + 1) - _summed(counts, pseudo_word, lambda x: gammaln(x + 1))


def _summed(
    counts: csr_array, pseudo_word: np.ndarray, term: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """sum_k term(x_k) `[N]`, without the dense x: the words that a document lacks have x_k = f_k."""
    absent = term(pseudo_word)
    extra = term(counts.data + pseudo_word[counts.indices]) - absent[counts.indices]
    rows = csr_array((extra, counts.indices, counts.indptr), shape=counts.shape)
    return np.asarray(rows.sum(1)).ravel() + absent.sum()
