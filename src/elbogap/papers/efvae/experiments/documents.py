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

PARTS = ("train", "test")


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Select words of the data set whose record is the input `data`.

    Returns:
        `documents`: for each part sparse rows (`_ends`, `_words`, `_counts`) and `_label`; `frequencies` f0
        `[V]`; `selection`, how words were ranked, and `data`, real or stand-in. `baselines`: per selection,
        part, and with or without the pseudo-word f0 in each document, the mean NELBO in nats of the unigram
        model f0 in three conventions: `raw`, `minus_entropy` and `base_measure`; `most_omitted`, the largest
        number of training documents that have a word that is left out.

    Raises:
        UserError: fewer words in the data than asked for.
    """
    data = load(run.inputs["data"])
    vocabulary = data.arrays["train"].shape[1]
    if settings.words > vocabulary:
        raise UserError(f"efvae.documents: {settings.words} words are asked for, the data has {vocabulary}")
    baselines, chosen = [], {}
    for selection in ("documents", "count"):
        kept = select(data.arrays["train"], settings.words, selection)
        parts = {part: csr_array(data.arrays[part][:, kept]) for part in PARTS}
        if selection == settings.selection:
            chosen = parts
        omitted = np.delete(document_frequencies(data.arrays["train"]), kept).max(initial=0)
        key = {"document": "efvae", "data": data.kind, "selection": selection}
        facts = {"words": len(kept), "most_omitted": omitted}
        baselines += [key | facts | row for row in _baselines(parts)]
    arrays = {
        f"{part}_{name}": values
        for part, counts in chosen.items()
        for name, values in (
            ("ends", counts.indptr[1:].astype(np.int64)),
            ("words", counts.indices.astype(np.int64)),
            ("counts", counts.data.astype(np.int32)),
            ("label", data.arrays[f"{part}_label"]),
        )
    }
    arrays |= {
        "frequencies": smoothed_frequencies(chosen["train"]),
        "selection": np.array(settings.selection),
        "data": np.array(data.kind),
    }
    return {"documents": arrays, "baselines": pd.DataFrame(baselines)}


def select(counts: csr_array, words: int, selection: str) -> np.ndarray:
    """The most frequent words, by the number of documents or by count, ascending; ties to the first."""
    rank = document_frequencies(counts) if selection == "documents" else np.asarray(counts.sum(0)).ravel()
    return np.sort(np.argsort(-rank, kind="stable")[:words])


def document_frequencies(counts: csr_array) -> np.ndarray:
    """The number of documents that have each word, `[V]`."""
    return np.bincount(counts.indices, minlength=counts.shape[1])


def _baselines(parts: dict[str, csr_array]) -> list[dict[str, object]]:
    """The unigram model's NELBO, by part and pseudo-word."""
    frequencies = smoothed_frequencies(parts["train"])
    log_p = np.log(frequencies)
    return [
        {
            "part": part,
            "pseudo_word": pseudo_word,
            "documents": counts.shape[0],
            "raw": raw.mean(),
            "minus_entropy": (raw + log_likelihood_of_itself(counts, extra)).mean(),
            "base_measure": (raw - log_base_measure(counts, extra)).mean(),
        }
        for part, counts in parts.items()
        for pseudo_word, extra in ((False, np.zeros_like(frequencies)), (True, frequencies))
        for raw in [-(counts @ log_p + extra @ log_p)]
    ]


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
