"""The MNIST chain on small stand-ins: optimiser, resumption, classifier, reconstructions."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from allowance import within
from elbogap import tables
from elbogap.data.loaders import load
from elbogap.errors import UserError
from elbogap.models.image_vae import bounds, initial_networks
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.qiw.experiments import mnist_classifier, mnist_kl, mnist_reconstruct, mnist_train
from elbogap.papers.qiw.experiments.mnist_classifier import predict, stored
from elbogap.papers.qiw.settings import MnistClassifier, MnistKL, MnistReconstruct, MnistTrain
from elbogap.runtime import Run, numpy_generator

TRAIN = MnistTrain(
    k=5,
    latent=2,
    hidden=(20,),
    images=500,
    batch=10,
    epochs=4,
    learning_rate=0.005,
    epsilon=1e-4,
    record_every=30,
    checkpoint_seconds=0,
    seed=0,
)
CLASSIFIER = MnistClassifier(hidden=(30,), images=600, epochs=15, seed=0)
RECONSTRUCT = MnistReconstruct(
    k=20,
    figure_images=3,
    figure_samples=4,
    figure_seed=0,
    images=60,
    repeats=2,
    bound_images=20,
    bound_samples=50,
    seed=0,
)


@pytest.fixture(scope="module")
def made(records: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """All three experiments, run once."""
    folder = tmp_path_factory.mktemp("qiw")
    training = Run("smoke", inputs={"data": records["binarized_mnist"]}, scratch=folder / "scratch")
    trained = mnist_train.run(TRAIN, training)
    judged = mnist_classifier.run(CLASSIFIER, Run("smoke", inputs={"data": records["mnist"]}))
    tables.write(trained["parameters"], folder / "parameters.npz")
    tables.write(judged["classifier"], folder / "classifier.npz")
    inputs = {"data": records["binarized_mnist"]}
    inputs |= {name: folder / f"{name}.npz" for name in ("parameters", "classifier")}
    reconstructed = mnist_reconstruct.run(RECONSTRUCT, Run("smoke", inputs=inputs))
    return {"train": trained, "classifier": judged, "reconstruct": reconstructed}


def test_exact_divergences_agree_with_bounds_by_sampling(
    made: dict[str, dict], records: dict[str, Path], tmp_path: Path
) -> None:
    """log p(x) less the gap is L_k, which draws estimate; the posterior is between q_IW and q."""
    settings = MnistKL(ks=(1, 4, 30), images=3, half_width=7.0, points=200, local_points=120, seed=0)
    tables.write(made["train"]["parameters"], tmp_path / "parameters.npz")
    inputs = {"data": records["binarized_mnist"], "parameters": tmp_path / "parameters.npz"}
    table = mnist_kl.run(settings, Run("smoke", inputs=inputs))["kl"]
    np.testing.assert_allclose(table["coarse_log_p"], table["log_p"], atol=1e-6)
    np.testing.assert_allclose(table["coarse_kl"], table["kl_q_iw_to_p"], atol=1e-4)
    one, four, thirty = (table[table["k"] == k].set_index("image") for k in settings.ks)
    assert table["left_out"].max() < 1e-9
    np.testing.assert_allclose(one["kl_q_iw_to_p"], one["bound_gap"], atol=1e-8)
    assert (four["kl_q_iw_to_p"] < four["bound_gap"]).all()
    assert ((thirty["kl_q_iw_to_p"] > -1e-8) & (thirty["kl_q_iw_to_p"] < four["kl_q_iw_to_p"])).all()
    assert (four["kl_q_iw_to_p"] < one["kl_q_iw_to_p"]).all()
    networks = {name: part.double() for name, part in Stored.load(inputs["parameters"]).member(0).items()}
    order = numpy_generator(0, "qiw.mnist_kl").permutation(len(loaded := load(inputs["data"]).arrays["test"]))
    images = torch.from_numpy(loaded[order[:3]]).double()
    for k, rows in ((1, one), (4, four)):
        sampled = torch.stack(
            [
                bounds(
                    networks, images, k=k, draws=30, rows=1000, generator=torch.Generator().manual_seed(seed)
                )[0]
                for seed in range(8)
            ]
        )
        error = sampled.std(0) / len(sampled) ** 0.5
        assert within(
            sampled.mean(0).numpy() - (rows["log_p"] - rows["bound_gap"]).to_numpy(), error.numpy(), times=6
        )


def test_weights_beyond_float64_are_left_out_and_counted(
    made: dict[str, dict], records: dict[str, Path], tmp_path: Path
) -> None:
    networks = Stored.load(write(made["train"]["parameters"], tmp_path)).member(0)
    with torch.no_grad():
        for parameter in networks["decoder"].parameters():
            parameter *= 8
    stored_networks = Stored(networks, {}).to_arrays()
    settings = MnistKL(ks=(1, 30), images=2, half_width=6.0, points=100, local_points=60, seed=0)
    inputs = {"data": records["binarized_mnist"], "parameters": write(stored_networks, tmp_path)}
    table = mnist_kl.run(settings, Run("smoke", inputs=inputs))["kl"]
    assert np.isfinite(table[["kl_q_iw_to_p", "bound_gap"]]).all(axis=None)
    assert table["left_out"].between(1e-12, 0.999).all()


def write(parameters: dict[str, np.ndarray], folder: Path) -> Path:
    tables.write(parameters, folder / "parameters.npz")
    return folder / "parameters.npz"


def test_divergences_need_two_latent_dimensions(records: dict[str, Path], tmp_path: Path) -> None:
    networks = initial_networks([4], 3, [4], "tanh", lambda _: [torch.Generator().manual_seed(0)])
    tables.write(Stored(networks, {}).to_arrays(), tmp_path / "parameters.npz")
    inputs = {"data": records["binarized_mnist"], "parameters": tmp_path / "parameters.npz"}
    settings = MnistKL(ks=(1,), images=1, half_width=6.0, points=50, local_points=20, seed=0)
    with pytest.raises(UserError, match="two latent dimensions"):
        mnist_kl.run(settings, Run("smoke", inputs=inputs))


def test_adam_takes_tensorflow_s_steps() -> None:
    """lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon), the update that TensorFlow documents."""
    epsilon, rate, (b1, b2) = 1e-2, 1e-3, mnist_train.BETAS
    ours = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
    optimiser = torch.optim.Adam([ours], lr=rate, betas=mnist_train.BETAS)
    theirs, m, v = ours.detach().numpy().copy(), np.zeros(3), np.zeros(3)
    for t in range(1, 30):
        gradient = np.sin(np.arange(3) + t) * 10.0 ** (np.arange(3) - 3)
        optimiser.param_groups[0]["eps"] = mnist_train.torch_epsilon(epsilon, t)
        ours.grad = torch.from_numpy(gradient)
        optimiser.step()
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        theirs -= rate * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + epsilon)
        np.testing.assert_allclose(ours.detach(), theirs, rtol=1e-12, atol=1e-12)


def test_training_improves_the_bound(made: dict[str, dict]) -> None:
    curve = made["train"]["curve"]
    assert curve["step"].tolist() == [30, 60, 90, 120, 150, 180, 200]
    assert curve["epoch"].iloc[-1] == TRAIN.epochs
    assert set(curve["data"]) == {"stand-in"}
    assert curve["train_iwae"].iloc[0] < -250
    assert curve["train_iwae"].iloc[-1] > curve["train_iwae"].iloc[0] + 30


@pytest.mark.parametrize("kill_at", [1, 73, 199])
def test_interrupted_training_ends_with_the_same_bits(
    made: dict[str, dict],
    records: dict[str, Path],
    bare_run: Run,
    monkeypatch: pytest.MonkeyPatch,
    kill_at: int,
) -> None:
    run = dataclasses.replace(bare_run, inputs={"data": records["binarized_mnist"]})
    calls = 0

    def interrupted(epsilon: float, step: int) -> float:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise KeyboardInterrupt
        return torch_epsilon(epsilon, step)

    torch_epsilon = mnist_train.torch_epsilon
    monkeypatch.setattr(mnist_train, "torch_epsilon", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist_train.run(TRAIN, run)
    resumed = mnist_train.run(TRAIN, run)
    assert calls == kill_at + 200 - (kill_at - 1)  # only the interrupted step was made twice
    pd.testing.assert_frame_equal(resumed["curve"], made["train"]["curve"], check_exact=True)
    for name, value in made["train"]["parameters"].items():
        np.testing.assert_array_equal(resumed["parameters"][name], value)


def test_a_batch_larger_than_the_data_is_refused(records: dict[str, Path], bare_run: Run) -> None:
    run = dataclasses.replace(bare_run, inputs={"data": records["binarized_mnist"]})
    with pytest.raises(UserError, match="exceeds"):
        mnist_train.run(TRAIN.model_copy(update={"batch": 1000}), run)


def test_stored_classifier_predicts_as_scikit_learn_does() -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 2, (300, 50)), random.integers(3, 7, 300)
    with pytest.warns(ConvergenceWarning):
        fitted = MLPClassifier((20, 10), max_iter=50, random_state=0).fit(images.astype(np.float32), labels)
    unseen = random.integers(0, 2, (500, 50))
    np.testing.assert_array_equal(
        predict(stored(fitted), torch.from_numpy(unseen)), fitted.predict(unseen.astype(np.float32))
    )


def test_classifier_reads_the_digits(made: dict[str, dict]) -> None:
    accuracy = made["classifier"]["accuracy"]
    assert accuracy["binarisation"].tolist() == ["bernoulli", "threshold"]
    assert (accuracy["test_accuracy"] > 0.8).all()  # of ten classes


def test_bernoulli_binarisation_has_the_grey_levels_as_means() -> None:
    grey = np.tile(np.array([0, 51, 204, 255], dtype=np.uint8), (50_000, 1))
    means = mnist_classifier._bernoulli(grey, np.random.default_rng(0)).mean(0)
    np.testing.assert_allclose(means, [0, 0.2, 0.8, 1], atol=0.01)
    assert means[0] == 0
    assert means[3] == 1


def test_resampled_reconstructions_are_likelier(made: dict[str, dict]) -> None:
    table = made["reconstruct"]["reconstruction"]
    assert table[["method", "draw_seed"]].value_counts().eq(1).all()
    assert len(table) == 2 * RECONSTRUCT.repeats
    assert set(table["data"]) == {"stand-in"}
    mean = table.groupby("method")["mean_log_p_x_given_z"].mean()
    assert mean["q_iw"] > mean["q"]
    assert table["digit_agreement"].between(0, 1).all()


def test_pictures_of_the_figure(made: dict[str, dict], records: dict[str, Path]) -> None:
    images = made["reconstruct"]["images"]
    assert images["real"].shape == (3, 784)
    assert set(np.unique(images["real"])) == {0, 1}
    for method in ("q", "q_iw"):
        assert images[method].shape == (3, 4, 784)
        assert ((images[method] >= 0) & (images[method] <= 1)).all()
    assert not np.array_equal(images["q"], images["q_iw"])


def test_reconstruction_likelihood_of_a_known_model(records: dict[str, Path], tmp_path: Path) -> None:
    """With a decoder that ignores z, both methods have the closed form sum_d x_d l_d - log(1 + exp l_d)."""
    random = torch.Generator().manual_seed(0)
    networks = initial_networks((4,), 2, (4,), "softplus", lambda _: [random])
    with torch.no_grad():
        networks["decoder"].weights[-1].zero_()
        networks["decoder"].biases[-1].fill_(-1.0)
    tables.write(Stored(networks).to_arrays(), tmp_path / "parameters.npz")
    threes = MLP.from_tensors([torch.zeros(1, 784, 10)], [torch.eye(10)[None, [3]]], "relu")
    classifier = Stored({"classifier": threes}, {"classes": np.arange(10), "data": np.array("real")})
    tables.write(classifier.to_arrays(), tmp_path / "classifier.npz")
    inputs = {"data": records["binarized_mnist"]}
    inputs |= {name: tmp_path / f"{name}.npz" for name in ("parameters", "classifier")}
    whole = {"images": 100, "bound_images": 100, "bound_samples": 500}
    settings = RECONSTRUCT.model_copy(update=whole)
    table = mnist_reconstruct.run(settings, Run("smoke", inputs=inputs))["reconstruction"]
    test = mnist_reconstruct.load(records["binarized_mnist"]).arrays["test"]
    expected = -test.sum(1).mean() - 784 * math.log1p(math.exp(-1))
    np.testing.assert_allclose(table["mean_log_p_x_given_z"], expected, rtol=1e-6, atol=1e-12)
    assert (table["digit_agreement"] == 1).all()
    # log p(x) is the same number here, and 500 draws of a q near the prior come close to it from below
    assert (table["test_iwae_s500"] < expected + 0.01).all()
    assert (table["test_iwae_s500"] > expected - 0.1).all()
