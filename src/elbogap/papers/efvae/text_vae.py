"""The Bernoulli VAE of word counts (efvae, Section 3.1, eqs. 13 and 14).

p(z) is uniform on {0, 1}^L, p(x|z) multinomial with word probabilities softmax(f(z)), and q(z|x) is
proportional to exp <z, g(x)>. The smoothed corpus distribution f0 is added to the counts c of each document:
x = c + f0, longer than c by one word in all. The multinomial's base measure is left out.

Deviation: the word biases start at log f0, where the model is the unigram; all else starts as torch's linear
layers do. The document does not say where it starts.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from elbogap.inference.families.base import LogJoint
from elbogap.papers.efvae.documents import Counts


class TextVae(nn.Module):
    """Encoder g and decoder f of one model."""

    frequencies: Tensor
    topics: nn.Linear

    def __init__(
        self,
        encoder: str,
        bits: int,
        hidden: int,
        width: int,
        frequencies: Tensor,
        generator: torch.Generator,
    ) -> None:
        """Draw the initial weights.

        Args:
            encoder: `e1` is linear in the counts; `e2` has two hidden layers, on frequencies x / l; `e3` is
                linear in these.
            bits: L.
            hidden: hidden layers of the decoder.
            width: units of each hidden layer.
            frequencies: f0 `[V]`.
            generator: source of the weights.
        """
        super().__init__()
        self.bits, self.on_counts = bits, encoder == "e1"
        self.register_buffer("frequencies", frequencies)
        words, bound = len(frequencies), len(frequencies) ** -0.5
        first, *inner = [width, width, bits] if encoder == "e2" else [bits]
        # rows are words, as sparse products want them
        self.table = nn.Parameter(torch.empty(words, first).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(first).uniform_(-bound, bound, generator=generator))
        self.encoder = _layers([first, *inner], generator)
        self.decoder = _layers([bits, *[width] * hidden], generator)
        self.topics = cast(nn.Linear, _layers([width if hidden else bits, words], generator)[0])
        self.topics.bias.data.copy_(frequencies.log())

    def logits(self, counts: Counts) -> Tensor:
        """g(x) `[N, L]`."""
        outputs = self._times(counts, self.table)
        if not self.on_counts:
            outputs = outputs / (counts.lengths + 1).unsqueeze(-1)
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
        lengths = counts.lengths + 1

        def of_codes(codes: Tensor) -> Tensor:
            hidden = codes
            for layer in self.decoder:
                hidden = layer(hidden).relu()
            scores = (to_hidden * hidden).sum(-1) + constant
            return lengths * self.topics(hidden).logsumexp(-1) - scores

        return of_codes

    def _times(self, counts: Counts, matrix: Tensor) -> Tensor:
        """The product of x = c + f0 with a matrix `[V, H]`, `[N, H]`."""
        return counts.times(matrix) + self.frequencies @ matrix


def _layers(sizes: list[int], generator: torch.Generator) -> nn.ModuleList:
    """Linear layers from each size to the next, with torch's own distribution of the weights."""
    layers = nn.ModuleList(skip_init(nn.Linear, inputs, outputs) for inputs, outputs in pairwise(sizes))
    for layer, inputs in zip(layers, sizes, strict=False):
        for parameter in layer.parameters():
            parameter.data.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    return layers
