"""The Bernoulli VAE of word counts (efvae, Section 3.1, eqs. 13 and 14).

p(z) is uniform on {0, 1}^L, p(x|z) multinomial with word probabilities softmax(f(z)), and q(z|x) is
proportional to exp <z, g(x)>. The smoothed corpus distribution f0 is added to the counts c of each document:
x = c + f0, longer than c by one word in all. The multinomial's base measure is left out. Deviation: the word
biases start at log f0, where the model is the unigram; all else starts as torch's linear layers do.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from elbogap.densities import log_sum_exp
from elbogap.inference import exponential_family as ef
from elbogap.inference.families.base import LogJoint
from elbogap.tables import Arrays


@dataclass(frozen=True)
class Counts:
    """Sparse counts: `words` and `values` of all entries, `[E]`; `starts`, each document's first, `[N]`.

    `lengths` `[N]` are the sums of the documents' counts.
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
        starts, totals = functional.pad(ends[:-1], (1, 0)), functional.pad(values.cumsum(0), (1, 0))
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
        return map(self.take, torch.arange(len(self), device=self.starts.device).split(size))

    def times(self, matrix: Tensor) -> Tensor:
        """The sparse product with a matrix with one row per word, `[V, H]` to `[N, H]`, differentiable."""
        return functional.embedding_bag(
            self.words, matrix, self.starts, mode="sum", per_sample_weights=self.values
        )


class TextVae(nn.Module):
    """Encoder g and decoder f of one model."""

    frequencies: Tensor

    def __init__(
        self,
        encoder: str,
        bits: int,
        hidden: int,
        width: int,
        frequencies: Tensor,
        generator: torch.Generator,
        scale: float = 1.0,
    ) -> None:
        """Draw the initial weights of a model with L bits and any number of `hidden` layers of the decoder.

        The encoder `e1` is linear in the counts, `e2` has two hidden layers, on `scale` times the frequencies
        x / l, `e3` is linear in these. Hidden layers have `width` units; `frequencies` is f0 `[V]`.
        """
        super().__init__()
        self.bits, self.on_counts, self.scale = bits, encoder == "e1", scale
        self.register_buffer("frequencies", frequencies)
        words, bound = len(frequencies), len(frequencies) ** -0.5
        first, *inner = [width, width, bits] if encoder == "e2" else [bits]
        # rows are words, as sparse products want them
        self.table = nn.Parameter(torch.empty(words, first).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(first).uniform_(-bound, bound, generator=generator))
        self.encoder = nn.ModuleList(_linear(*sizes, generator) for sizes in pairwise([first, *inner]))
        self.decoder = nn.ModuleList(
            _linear(*sizes, generator) for sizes in pairwise([bits, *[width] * hidden])
        )
        self.topics = _linear(width if hidden else bits, words, generator)
        self.topics.bias.data.copy_(frequencies.log())

    def logits(self, counts: Counts) -> Tensor:
        """g(x) `[N, L]`."""
        outputs = self._times(counts, self.table)
        if not self.on_counts:
            outputs = outputs * (self.scale / (counts.lengths + 1)).unsqueeze(-1)
        outputs = outputs + self.bias
        for layer in self.encoder:
            outputs = layer(outputs.relu())
        return outputs

    def nll(self, counts: Counts) -> LogJoint:
        """-<x, log softmax f(z)> of codes `[..., N, L]`, `[..., N]` in nats.

        <x, f(z)> = <W x, h(z)> + <x, b> for the last hidden layer h: one sparse product serves all codes.
        """
        to_hidden = self._times(counts, self.topics.weight)
        constant = self._times(counts, self.topics.bias.unsqueeze(-1)).squeeze(-1)

        def of_codes(codes: Tensor) -> Tensor:
            hidden = codes
            for layer in self.decoder:
                hidden = layer(hidden).relu()
            scores = (to_hidden * hidden).sum(-1) + constant
            return (counts.lengths + 1) * log_sum_exp(self.topics(hidden), -1) - scores

        return of_codes

    def bound(self, counts: Counts) -> ef.Bound:
        """ELBO, log p(x) without the base measure and gap of each document, from all 2^L codes, `[N]`."""
        codes = ef.binary_codes(self.bits, dtype=torch.float32).to(counts.values)
        log_joint = -self.nll(counts)(codes.unsqueeze(1)).mT - self.bits * math.log(2)
        return ef.enumerated(log_joint, ef.log_encoder(self.logits(counts), codes))

    def _times(self, counts: Counts, matrix: Tensor) -> Tensor:
        """The product of x = c + f0 with a matrix `[V, H]`, `[N, H]`."""
        return counts.times(matrix) + self.frequencies @ matrix


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A layer with torch's own distribution of the weights."""
    layer = skip_init(nn.Linear, inputs, outputs)
    for parameter in layer.parameters():
        parameter.data.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
