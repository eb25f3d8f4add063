"""Documents, the text VAE, its training and Table 2, on made-up documents."""

import itertools
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor

from elbogap import tables
from elbogap.errors import OutOfTime, UserError
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.objectives.codes import ARM
from elbogap.papers.efvae.experiments import documents, newsgroups_summary, newsgroups_train
from elbogap.papers.efvae.settings import (
    Documents,
    NewsgroupsSummary,
    NewsgroupsTrain,
    Phase,
    TextCells,
)
from elbogap.papers.efvae.text_vae import Counts, TextVae
from elbogap.runtime import Run, limit_torch_threads, torch_generator
from toy_data import stand_in_record

TRAIN = NewsgroupsTrain(
    cells={
        "all": TextCells(encoders=("e1", "e2", "e3_scaled"), bits=(4,), hidden=(0, 1), seeds=1)
    },
    phases=(Phase(epochs=2, samples=1), Phase(epochs=2, samples=3)),
    width=6, batch=100, learning_rate=0.03, frequency_scale=20, measure_epochs=3, checkpoint_seconds=1e-9,
    seed=0,
)  # fmt: skip
DENSE = np.array([[2, 0, 1, 0, 0], [0, 0, 0, 3, 1], [1, 1, 1, 1, 4]])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    limit_torch_threads(1)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_record(tmp_path_factory.mktemp("efvae"), "newsgroups", train=250, test=60, words=80)


@pytest.fixture(scope="module")
def prepared(record: Path) -> dict[str, Path]:
    """What `efvae.documents` made, by the names of the inputs that need it."""
    found = documents.run(Documents(words=40), Run("smoke", inputs={"data": record}))
    paths = {"documents": record.parent / "documents.npz", "baselines": record.parent / "baselines.csv"}
    for name, path in paths.items():
        tables.write(found[name], path)
    return paths


@pytest.fixture(scope="module")
def trained(prepared: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    return newsgroups_train.run(TRAIN, training(prepared, tmp_path_factory.mktemp("scratch")))


def training(prepared: dict[str, Path], scratch: Path) -> Run:
    inputs = {"documents": prepared["documents"]}
    return Run("smoke", {"cells": "all"}, inputs, scratch=scratch)


def counts_of(dense: np.ndarray) -> Counts:
    sparse = csr_array(dense)
    arrays = {
        "train_ends": sparse.indptr[1:].astype(np.int64), "train_words": sparse.indices.astype(np.int64),
        "train_counts": sparse.data.astype(np.int32),
    }  # fmt: skip
    return Counts.of(arrays, "train", "cpu")


def dense(counts: Counts) -> Tensor:
    return counts.times(torch.eye(DENSE.shape[1]))


def test_rows_are_taken_split_and_multiplied_as_dense_ones() -> None:
    counts = counts_of(np.concatenate([DENSE, 0 * DENSE[:1], DENSE]))
    torch.testing.assert_close(dense(counts)[:3], torch.from_numpy(DENSE).float())
    assert counts.lengths.tolist() == [3, 4, 8, 0, 3, 4, 8]
    order = [6, 3, 0, 0, 5]
    taken = counts.take(torch.tensor(order))
    torch.testing.assert_close(dense(taken), dense(counts)[order])
    parts = list(taken.split(2))
    assert [len(part) for part in parts] == [2, 2, 1]
    torch.testing.assert_close(torch.cat([dense(part) for part in parts]), dense(taken))
    assert torch.cat([part.lengths for part in parts]).tolist() == [8, 0, 3, 3, 4]


def test_words_are_ranked_by_documents_or_by_count() -> None:
    counts = csr_array(np.array([[9, 1, 1, 0], [0, 1, 1, 0], [0, 2, 0, 1]]))
    assert documents.select(counts, 2, "documents").tolist() == [1, 2]
    assert documents.select(counts, 2, "count").tolist() == [0, 1]
    assert documents.document_frequencies(counts).tolist() == [1, 3, 2, 1]


@pytest.mark.parametrize("pseudo_words", [0.0, 1.0])
def test_constants_of_documents_are_those_of_dense_rows(pseudo_words: float) -> None:
    sparse = csr_array(DENSE)
    more = pseudo_words * documents.smoothed_frequencies(sparse)
    x = DENSE + more
    length = x.sum(1)
    own = [sum(v * math.log(v / n) for v in row if v > 0) for row, n in zip(x, length, strict=True)]
    conventions = {name: documents.excess(sparse, more, term) for name, term in documents.CONVENTIONS.items()}
    np.testing.assert_allclose(conventions["minus_entropy"], own, atol=1e-12)
    base = [
        math.lgamma(n + 1) - sum(math.lgamma(v + 1) for v in row) for row, n in zip(x, length, strict=True)
    ]
    np.testing.assert_allclose(-conventions["base_measure"], base, atol=1e-12)


def test_baselines_are_ordered_and_the_unigram_fits_its_own_corpus(prepared: dict[str, Path]) -> None:
    rows = tables.read_table(prepared["baselines"])
    assert len(rows) == 8
    assert (rows["raw"] > rows["base_measure"]).all()
    assert (rows["base_measure"] > rows["minus_entropy"]).all()
    assert (rows["minus_entropy"] > 0).all()
    arrays = tables.read_arrays(prepared["documents"])
    counts = csr_array(
        (arrays["train_counts"], arrays["train_words"], np.concatenate([[0], arrays["train_ends"]])),
        shape=(250, 40),
    )
    totals = np.asarray(counts.sum(0)).ravel()
    raw = rows[(rows["selection"] == "documents") & (rows["part"] == "train") & ~rows["pseudo_word"]]["raw"]
    assert raw.item() == pytest.approx(-(totals @ np.log(totals / totals.sum())) / 250, rel=1e-4)


def test_more_words_than_there_are_is_an_error(record: Path) -> None:
    with pytest.raises(UserError, match="81 words are asked for, the data has 80"):
        documents.run(Documents(words=81), Run("smoke", inputs={"data": record}))


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_nll_is_the_multinomial_with_the_pseudo_word(hidden: int) -> None:
    frequencies = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
    vae = TextVae("e1", 3, hidden, 4, frequencies, torch.Generator().manual_seed(0))
    codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).unsqueeze(1).expand(-1, 3, -1)
    features = codes
    for layer in vae.decoder:
        features = layer(features).relu()
    expected = -((torch.from_numpy(DENSE) + frequencies) * vae.topics(features).log_softmax(-1)).sum(-1)
    torch.testing.assert_close(vae.nll(counts_of(DENSE))(codes), expected)
    assert len(vae.decoder) == hidden


def test_encoders_see_counts_or_frequencies() -> None:
    frequencies = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
    x = torch.from_numpy(DENSE) + frequencies
    relative = x / x.sum(-1, keepdim=True)
    for name, scale, values in (
        ("e1", 1, x),
        ("e2", 1, relative),
        ("e3", 1, relative),
        ("e3", 7, 7 * relative),
    ):
        vae = TextVae(name, 3, 0, 4, frequencies, torch.Generator().manual_seed(0), scale)
        expected = values @ vae.table + vae.bias
        assert len(vae.encoder) == (2 if name == "e2" else 0)
        for layer in vae.encoder:
            expected = layer(expected.relu())
        torch.testing.assert_close(vae.logits(counts_of(DENSE)), expected)


def test_the_model_starts_at_the_unigram_if_codes_do_nothing() -> None:
    frequencies = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
    vae = TextVae("e1", 3, 1, 4, frequencies, torch.Generator().manual_seed(0))
    vae.topics.weight.data.zero_()
    expected = -((torch.from_numpy(DENSE) + frequencies) * frequencies.log()).sum(-1)
    torch.testing.assert_close(vae.nll(counts_of(DENSE))(torch.ones(3, 3)), expected)


def test_the_measured_nelbo_is_that_of_all_codes() -> None:
    """Many copies of three documents: the mean over draws is near the sum over the eight codes."""
    frequencies = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
    vae = TextVae("e1", 3, 0, 4, frequencies, torch.Generator().manual_seed(0))
    counts = counts_of(DENSE)
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).unsqueeze(1).expand(-1, 3, -1)
    log_q = torch.distributions.Bernoulli(logits=vae.logits(counts)).log_prob(every).sum(-1)
    expected = (log_q.exp() * vae.nll(counts)(every)).sum(0).mean().item()
    divergence = (log_q.exp() * (log_q + 3 * math.log(2))).sum(0).mean().item()
    many = counts.take(torch.arange(3).repeat(4000))
    found = newsgroups_train.measure(vae, many, 500, torch.Generator().manual_seed(0))
    assert found["nll"] == pytest.approx(expected, abs=0.03)
    assert found["kl"] == pytest.approx(divergence, rel=1e-4)
    log_posterior = (-vae.nll(counts)(every)).log_softmax(0)
    gap = (log_q.exp() * (log_q - log_posterior)).sum(0).mean().item()
    assert found["gap"] == pytest.approx(gap, rel=1e-4)
    assert vae.bound(counts).elbo.mean().item() == pytest.approx(-expected - divergence, rel=1e-5)


def test_training_lowers_the_nelbo_and_gives_codes(trained: dict, prepared: dict[str, Path]) -> None:
    curves = trained["curves"]
    assert len(curves) == 6 * 2 * 2
    assert sorted(curves["epoch"].unique()) == [3, 4]
    arrays = tables.read_arrays(prepared["documents"])
    frequencies = torch.from_numpy(arrays["frequencies"]).float()
    counts = Counts.of(arrays, "train", "cpu")
    last = curves[(curves["part"] == "train") & (curves["epoch"] == 4)]
    for row in last.itertuples():
        cell = f"{row.encoder}_{row.bits}_{row.hidden}_{row.seed}"
        scale = TRAIN.frequency_scale if row.encoder == "e3_scaled" else 1.0
        start = TextVae(
            row.encoder[:2], row.bits, row.hidden, TRAIN.width, frequencies,
            torch_generator(0, "efvae.newsgroups", cell), scale,
        )  # fmt: skip
        before = newsgroups_train.measure(start, counts, 100, torch.Generator().manual_seed(0))
        assert row.nll + row.kl < before["nll"] + before["kl"]
    assert trained["codes"]["e2_4_1_0_test"].shape == (60, 1)
    encoders = TRAIN.cells["all"].encoders
    assert set(trained["codes"]) == {
        f"{encoder}_4_{h}_0_{p}" for encoder in encoders for h in (0, 1) for p in ("train", "test")
    }


def test_long_codes_have_no_exact_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newsgroups_train, "ENUMERATED", 2)
    vae = TextVae("e1", 3, 0, 4, torch.full((5,), 0.2), torch.Generator().manual_seed(0))
    found = newsgroups_train.measure(vae, counts_of(DENSE), 2, torch.Generator().manual_seed(0))
    assert math.isnan(found["gap"])
    assert math.isfinite(found["nll"] + found["kl"])


def test_seeds_are_other_trainings(prepared: dict[str, Path], trained: dict, tmp_path: Path) -> None:
    cell = TextCells(encoders=("e1",), bits=(4,), hidden=(0,), seeds=2)
    found = newsgroups_train.run(
        TRAIN.model_copy(update={"cells": {"all": cell}}), training(prepared, tmp_path)
    )
    first, second = (rows.reset_index(drop=True) for _, rows in found["curves"].groupby("seed"))
    known = trained["curves"].query("encoder == 'e1' and hidden == 0").reset_index(drop=True)
    pd.testing.assert_frame_equal(first, known)
    assert (first["nll"] != second["nll"]).all()


def test_codes_are_the_signs_of_the_logits_document_by_document(
    prepared: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of untrained models, which can be made again."""
    monkeypatch.setattr(newsgroups_train, "_train", lambda *_: [])
    codes = newsgroups_train.run(TRAIN, training(prepared, tmp_path))["codes"]
    arrays = tables.read_arrays(prepared["documents"])
    frequencies = torch.from_numpy(arrays["frequencies"]).float()
    for part in ("train", "test"):
        generator = torch_generator(0, "efvae.newsgroups", "e2_4_1_0")
        vae = TextVae("e2", 4, 1, TRAIN.width, frequencies, generator)
        expected = vae.logits(Counts.of(arrays, part, "cpu")) > 0
        found = np.unpackbits(codes[f"e2_4_1_0_{part}"], axis=1, count=4)
        np.testing.assert_array_equal(found, expected.numpy())
        assert 0 < found.mean() < 1


def test_more_samples_make_a_quieter_gradient(prepared: dict[str, Path]) -> None:
    arrays = tables.read_arrays(prepared["documents"])
    frequencies = torch.from_numpy(arrays["frequencies"]).float()
    counts = next(Counts.of(arrays, "train", "cpu").split(50))
    vae = TextVae("e1", 4, 0, 6, frequencies, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    spread = []
    for samples in (1, 10):
        found = []
        for _ in range(30):
            logits = vae.logits(counts).detach().requires_grad_()
            uniforms = torch.rand((samples, 50, 4), generator=generator)
            estimate = ARM().estimate(BernoulliCodes(logits), vae.nll(counts), {"uniform": uniforms})
            found.append(torch.autograd.grad(estimate.surrogate.mean(0).sum(), logits)[0])
        spread.append(float(torch.stack(found).var(0).mean()))
    assert spread[1] < spread[0] / 5


def test_an_interrupted_training_goes_on_where_it_was(
    trained: dict, prepared: dict[str, Path], tmp_path: Path
) -> None:
    late = replace(training(prepared, tmp_path), deadline=time.monotonic())
    for _ in range(11):  # into the second cell: eight steps make one
        with pytest.raises(OutOfTime):
            newsgroups_train.run(TRAIN, late)
    resumed = newsgroups_train.run(TRAIN, replace(late, deadline=math.inf))
    pd.testing.assert_frame_equal(resumed["curves"], trained["curves"])
    for name, value in trained["codes"].items():
        np.testing.assert_array_equal(resumed["codes"][name], value)


def test_wrong_settings_are_named(prepared: dict[str, Path], tmp_path: Path) -> None:
    run = training(prepared, tmp_path)
    with pytest.raises(UserError, match=r"no cells 'other'; there are: all"):
        newsgroups_train.run(TRAIN, replace(run, keys={"cells": "other"}))
    with pytest.raises(UserError, match=r"batch 300 exceeds the 250 documents"):
        newsgroups_train.run(TRAIN.model_copy(update={"batch": 300}), run)


PUBLISHED = {("e1", 0): 10, ("e2", 0): 20, ("e1", 1): 10, ("e2", 1): 40}


@pytest.fixture(scope="module")
def summarised(trained: dict, prepared: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("summary")
    published = [
        {"part": part, "bits": 4, "hidden": hidden, "encoder": encoder, "nelbo": value, "source": "made up"}
        for part in ("train", "test")
        for (encoder, hidden), value in PUBLISHED.items()
    ]
    inputs = {"curves_all": trained["curves"], "published": pd.DataFrame(published)}
    for name, table in inputs.items():
        tables.write(table, folder / f"{name}.csv")
    tables.write(trained["codes"], folder / "codes_all.npz")
    paths = {name: folder / f"{name}.csv" for name in inputs} | {"codes_all": folder / "codes_all.npz"}
    return newsgroups_summary.run(NewsgroupsSummary(neighbours=20), Run("smoke", inputs=prepared | paths))


def test_runs_have_the_lowest_and_the_last_value_less_the_entropy(
    summarised: dict, trained: dict, prepared: dict[str, Path]
) -> None:
    runs, curves = summarised["runs"], trained["curves"]
    assert len(runs) == 12
    baselines = tables.read_table(prepared["baselines"])
    unigram = baselines[
        (baselines["selection"] == "documents") & (baselines["part"] == "test") & baselines["pseudo_word"]
    ].iloc[0]
    row = runs[(runs["part"] == "test") & (runs["encoder"] == "e2") & (runs["hidden"] == 1)].iloc[0]
    own = curves[(curves["part"] == "test") & (curves["encoder"] == "e2") & (curves["hidden"] == 1)]
    raw = (own["nll"] + own["kl"]).to_numpy()
    entropy = unigram["raw"] - unigram["minus_entropy"]
    assert row["nelbo"] == pytest.approx(raw.min() - entropy)
    assert row["nelbo_last"] == pytest.approx(raw[-1] - entropy)
    assert row["unigram"] == pytest.approx(unigram["minus_entropy"])
    assert row["published"] == PUBLISHED["e2", 1]
    cell = runs.set_index(["part", "encoder", "hidden"])["nelbo"]
    assert row["above_linear"] == pytest.approx(cell["test", "e2", 1] - cell["test", "e2", 0])
    assert row["overfit"] == pytest.approx(cell["test", "e2", 1] - cell["train", "e2", 1])
    assert runs.loc[runs["part"] == "train", ["overfit", "precision"]].isna().all(axis=None)
    shown = summarised["curves"]
    assert shown["nelbo"].min() == runs["nelbo"].min()
    assert len(shown) == len(curves)


def test_table_2_has_the_document_s_encoders_and_means_over_seeds(summarised: dict) -> None:
    table, runs = summarised["table"], summarised["runs"]
    assert set(table["encoder"]) == {"e1", "e2"}
    assert set(runs["encoder"]) == {"e1", "e2", "e3_scaled"}
    assert (table["seeds"] == 1).all()
    one = runs[runs["encoder"] != "e3_scaled"]
    np.testing.assert_allclose(table["nelbo"], one["nelbo"], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(table["published"], one["published"])


def test_retrieval_finds_a_group_by_codes_that_tell_it_and_not_by_others(prepared: dict[str, Path]) -> None:
    arrays = tables.read_arrays(prepared["documents"])
    labels = {part: arrays[f"{part}_label"].astype(np.uint8)[:, None] for part in ("train", "test")}
    codes = {f"e1_8_0_0_{part}": label for part, label in labels.items()}
    settings = NewsgroupsSummary(
        neighbours=int(np.bincount(arrays["train_label"])[arrays["test_label"]].min())
    )
    cells = pd.DataFrame({"encoder": ["e1"], "bits": [8], "hidden": [0], "seed": [0]})
    assert newsgroups_summary._precisions(settings, cells, codes, arrays) == pytest.approx([1.0])
    chance = np.mean([(arrays["train_label"] == label).mean() for label in arrays["test_label"]])
    for other in (np.random.default_rng(0).permutation(codes["e1_8_0_0_train"]), 0 * codes["e1_8_0_0_train"]):
        found = newsgroups_summary._precisions(settings, cells, codes | {"e1_8_0_0_train": other}, arrays)
        assert found[0] == pytest.approx(chance, abs=0.1)


def test_more_neighbours_than_documents_is_an_error(prepared: dict[str, Path]) -> None:
    arrays = tables.read_arrays(prepared["documents"])
    with pytest.raises(UserError, match="251 neighbours among 250 documents"):
        newsgroups_summary._precisions(NewsgroupsSummary(neighbours=251), pd.DataFrame(), {}, arrays)
