"""The words and documents of 20 Newsgroups, and how well the unigram model explains them (efvae, Table 2).

Deviation: the document keeps the "10000 most frequent words", each omitted one in "not more than in 10
documents". Neither way to count frequency gives that exactly; the table of the baselines has both.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import gammaln, xlogy

from elbogap.data.loaders import load
from elbogap.errors import UserError
from elbogap.papers.efvae.settings import Documents as Settings
from elbogap.runtime import Run

Term = Callable[[np.ndarray], np.ndarray]

CONVENTIONS: dict[str, Term] = {
    "minus_entropy": lambda x: xlogy(x, x),  # less the entropy of the document's own words
    "base_measure": lambda x: gammaln(x + 1),  # with the base measure log [l! / prod_k x_k!] of eq. (13)
}
"""Terms whose :func:`excess` is added to the raw NELBO."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Select words of the data set whose record is the input `data`.

    Returns `documents`: for each part sparse rows (`_ends`, `_words`, `_counts`) and `_label`; `frequencies`
    f0 `[V]`, and `data`, real or stand-in, of words ranked by documents. `baselines`: per ranking
    (`selection`), part, and with or without the pseudo-word f0 in each document, the mean NELBO in nats of
    the unigram model f0, `raw` and in both conventions. UserError for more words than the data have.
    """
    data = load(run.inputs["data"])
    train = data.arrays["train"]
    if settings.words > (vocabulary := train.shape[1]):
        raise UserError(f"efvae.documents: {settings.words} words are asked for, the data has {vocabulary}")
    arrays = {"data": np.array(data.kind)}
    baselines = []
    for selection in ("documents", "count"):
        kept = select(train, settings.words, selection)
        frequencies = smoothed_frequencies(train[:, kept])
        key = {"document": "efvae", "data": data.kind, "selection": selection, "words": len(kept)}
        key["most_omitted"] = np.delete(document_frequencies(train), kept).max(initial=0)
        for part in ("train", "test"):
            counts = data.arrays[part][:, kept]
            for pseudo_word in (False, True):
                extra = frequencies * pseudo_word
                raw = -(counts @ np.log(frequencies) + extra @ np.log(frequencies))
                row = {"part": part, "pseudo_word": pseudo_word, "documents": len(raw), "raw": raw.mean()}
                known = {name: excess(counts, extra, term) for name, term in CONVENTIONS.items()}
                baselines.append(key | row | {name: (raw + value).mean() for name, value in known.items()})
            if selection == "documents":
                arrays |= {
                    "frequencies": frequencies,
                    f"{part}_ends": counts.indptr[1:].astype(np.int64),
                    f"{part}_words": counts.indices.astype(np.int64),
                    f"{part}_counts": counts.data.astype(np.int32),
                    f"{part}_label": data.arrays[f"{part}_label"],
                }
    return {"documents": arrays, "baselines": pd.DataFrame(baselines)}


def select(counts: csr_array, words: int, selection: str) -> np.ndarray:
    """The most frequent words, by the number of documents or by count, ascending; ties to the first."""
    rank = document_frequencies(counts) if selection == "documents" else counts.sum(0)
    return np.sort(np.argsort(-rank, kind="stable")[:words])


def document_frequencies(counts: csr_array) -> np.ndarray:
    """The number of documents that have each word, `[V]`."""
    return np.bincount(counts.indices, minlength=counts.shape[1])


def smoothed_frequencies(counts: csr_array) -> np.ndarray:
    """The corpus distribution f0, (count_k + 1 / V) normalised, `[V]` in float64."""
    totals = counts.sum(0).astype(float)
    return (totals + 1 / len(totals)) / (totals.sum() + 1)


def excess(counts: csr_array, pseudo_word: np.ndarray, term: Term) -> np.ndarray:
    """sum_k t(x_k) - t(sum_k x_k) of documents x = c + f, c `[N, V]` and f `[V]`, `[N]` in float64.

    It is made without the dense x: the words that a document lacks have x_k = f_k.
    """
    absent = term(pseudo_word)
    extra = term(counts.data + pseudo_word[counts.indices]) - absent[counts.indices]
    rows = csr_array((extra, counts.indices, counts.indptr), shape=counts.shape)
    return rows.sum(1) + absent.sum() - term(counts.sum(1) + pseudo_word.sum())
