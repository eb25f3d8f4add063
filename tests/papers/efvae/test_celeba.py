"""The CelebA chain on drawn faces: ground truth, encoder, joint training, table and pictures."""

import dataclasses
import math
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from allowance import within
from elbogap import tables
from elbogap.config.base import Section
from elbogap.data.stand_ins import draw_faces
from elbogap.errors import OutOfTime, UserError
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder, Generator
from elbogap.papers.efvae.celeba import Decoder, elbo_terms
from elbogap.papers.efvae.experiments import celeba_evaluate, celeba_train, gan
from elbogap.papers.efvae.settings import CelebaEvaluate, CelebaTraining, Gan
from elbogap.runtime import Run, limit_torch_threads
from toy_data import stand_in_record

GAN = Gan(
    images=60, side=16, latent=3, width=4, sigma=0.05, batch=20, epochs=60, learning_rate=0.005, beta1=0.5,
    checkpoint_seconds=60, seed=0,
)  # fmt: skip
PRETRAIN = CelebaTraining(batch=20, steps=60, learning_rate=0.003, beta1=0.5, checkpoint_seconds=60, seed=0)
JOINT = CelebaTraining(batch=20, steps=60, learning_rate=0.003, beta1=0.9, checkpoint_seconds=60, seed=0)
EVALUATE = CelebaEvaluate(batches=4, batch=20, shown=4, checkpoint_seconds=60, seed=0)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of the stand-ins."""
    limit_torch_threads(1)
    folder = tmp_path_factory.mktemp("records")
    return {name: stand_in_record(folder, name) for name in ("celeba", "fid_inception")}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up ground truth whose images tell their z."""
    random = torch.Generator().manual_seed(0)
    generator = Generator(3, 4, 16, random)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter *= 10 if parameter.ndim > 1 else 1
        generator(torch.randn(500, 3, generator=random))  # moves the running statistics
    path = tmp_path_factory.mktemp("truth") / "ground_truth.npz"
    tables.write({"data": np.array("stand-in"), **Decoder(generator, 0.05).to_arrays()}, path)
    return path


@pytest.fixture(scope="module")
def encoder(truth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    run = Run("smoke", inputs={"start": truth}, scratch=folder)
    tables.write(celeba_train.run(PRETRAIN, run)["model"], folder / "encoder.npz")
    return folder / "encoder.npz"


def small_models() -> tuple[Decoder, Encoder]:
    random = torch.Generator().manual_seed(1)
    encoder = Encoder(3, 4, 16, random)
    with torch.no_grad():
        encoder.last.weight.normal_(0, 0.1, generator=random)
        for parameter in encoder.parameters():
            parameter *= 5
    return Decoder(Generator(3, 4, 16, random), 0.05), encoder.eval()


def test_both_terms_of_the_elbo_are_torch_s() -> None:
    decoder, encoder = small_models()
    _, x = decoder.draw(6, torch.Generator().manual_seed(2))
    with torch.no_grad():
        log_likelihood, kl = elbo_terms(decoder, encoder, x, torch.Generator().manual_seed(3))
        mean, log_scale = encoder.moments(x)
        q = Normal(mean, log_scale.exp())
        z = mean + q.scale * torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        expected = Normal(decoder.generator(z), 0.05).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(log_likelihood, expected, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(kl, kl_divergence(q, Normal(0.0, 1.0)).sum(-1), rtol=1e-4, atol=1e-5)
    assert (kl > 0.01).all()


def test_the_ground_truth_draws_what_it_says(truth: Path) -> None:
    decoder = Decoder.from_arrays(tables.read_arrays(truth))
    z, x = decoder.draw(200, torch.Generator().manual_seed(0))
    noise = x - decoder.generator(z)
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)
    alone = decoder.generator(z[:1])
    torch.testing.assert_close(alone, decoder.generator(z)[:1])  # no image depends on its companions


def test_images_are_reduced_by_block_means() -> None:
    images = draw_faces(8, ["000001.jpg", "000002.jpg"])
    reduced = gan._reduced(images, 16)
    assert reduced.shape == (2, 3, 16, 16)
    assert reduced.dtype == torch.uint8
    assert reduced[1, 2, 3, 5] == np.rint(images[1, 12:16, 20:24, 2].mean())
    with pytest.raises(UserError, match="cannot be reduced to side 48"):
        gan._reduced(images, 48)


def test_the_gan_approaches_the_images(records: dict[str, Path], tmp_path: Path) -> None:
    """Mean and scale of a trained generator's pixels are nearer to those of the data than at the start.

    Over 16 runs, on two instruction sets, the error fell to 0.59 of the first one on average, with a
    standard deviation of 0.15: a single run decides nothing, since rounding is enough to change it.
    """
    names = [f"{number:06d}.jpg" for number in range(1, 301)]
    real = gan._reduced(draw_faces(8, names), 16) / 127.5 - 1
    ratios = []
    for seed in range(4):
        errors, scales = [], []
        for epochs in (1, GAN.epochs):
            settings = GAN.model_copy(update={"epochs": epochs, "seed": seed})
            run = Run("smoke", inputs={"data": records["celeba"]}, scratch=tmp_path / f"{seed}-{epochs}")
            found = gan.run(settings, run)
            decoder = Decoder.from_arrays(found["ground_truth"])
            z = decoder.prior(300, torch.Generator().manual_seed(0))
            with torch.no_grad():
                fake = decoder.generator(z)
            errors.append(float((fake.mean(0) - real.mean(0)).square().mean()))
            scales.append(float(fake.std()))
        ratios.append(errors[1] / errors[0])
        assert scales[0] < 0.01 < 0.15 < scales[1] < real.std()
    assert np.mean(ratios) < 0.9
    assert str(found["ground_truth"]["data"]) == "stand-in"
    assert decoder.sigma == pytest.approx(0.05)


def test_a_minibatch_larger_than_the_data_is_refused(records: dict[str, Path], tmp_path: Path) -> None:
    run = Run("smoke", inputs={"data": records["celeba"]}, scratch=tmp_path)
    with pytest.raises(UserError, match="batch 61 exceeds the 60 training images"):
        gan.run(GAN.model_copy(update={"batch": 61}), run)


def test_a_copy_with_too_few_images_is_refused(records: dict[str, Path], tmp_path: Path) -> None:
    """Nobody takes a part of CelebA for the whole."""
    run = Run("smoke", inputs={"data": records["celeba"]}, scratch=tmp_path)
    with pytest.raises(UserError, match="1201 images are set and this copy of celeba has 1200"):
        gan.run(GAN.model_copy(update={"images": 1201}), run)


def test_divergence_is_told(encoder: Path, tmp_path: Path) -> None:
    run = Run("smoke", {"sigma": "fixed"}, {"start": encoder}, tmp_path)
    with pytest.raises(UserError, match="diverged before step 20"):
        celeba_train.run(JOINT.model_copy(update={"learning_rate": 1e30}), run)


def encoder_in(path: Path) -> Encoder:
    return Encoder.from_arrays(store.part("encoder", tables.read_arrays(path))).eval()


def test_pretraining_tells_z_better_than_the_prior_and_keeps_the_decoder(truth: Path, encoder: Path) -> None:
    z, x = Decoder.from_arrays(tables.read_arrays(truth)).draw(500, torch.Generator().manual_seed(1))
    with torch.no_grad():
        mean, log_scale = encoder_in(encoder).moments(x)
    log_q = Normal(mean, log_scale.exp()).log_prob(z).sum(-1).mean()
    assert log_q > -1.5 * (math.log(2 * math.pi) + 1) + 0.5  # E log N(z; 0, I)
    for name, value in tables.read_arrays(truth).items():
        np.testing.assert_array_equal(tables.read_arrays(encoder)[name], value)


@pytest.fixture(scope="module")
def jointly(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both variants of joint training."""
    found = {}
    for variant in ("fixed", "learned"):
        folder = tmp_path_factory.mktemp("joint")
        run = Run("smoke", {"sigma": variant}, {"start": encoder}, folder)
        found[variant] = folder / "model.npz"
        tables.write(celeba_train.run(JOINT, run)["model"], found[variant])
    return found


def test_joint_training_raises_the_elbo(jointly: dict[str, Path], truth: Path, encoder: Path) -> None:
    _, x = Decoder.from_arrays(tables.read_arrays(truth)).draw(1000, torch.Generator().manual_seed(1))
    elbos = []
    for path in (encoder, jointly["fixed"], jointly["learned"]):
        decoder, q = Decoder.from_arrays(tables.read_arrays(path)), encoder_in(path).train()
        random = torch.Generator().manual_seed(2)
        with torch.no_grad():  # minibatches as in training, whose statistics the encoder takes
            terms = torch.cat([elbo_terms(decoder, q, part, random) for part in x.split(20)], 1)
        elbos.append(float((terms[0] - terms[1]).mean()))
    assert elbos[0] < elbos[1] < elbos[2]


def test_sigma_is_learned_only_where_it_should(jointly: dict[str, Path]) -> None:
    sigmas = {name: float(tables.read_arrays(path)["sigma"]) for name, path in jointly.items()}
    assert sigmas["fixed"] == pytest.approx(0.05, rel=1e-6)
    assert sigmas["learned"] > 0.051  # re-decodings differ from the images by more than .05


def test_joint_training_moves_decoder_weights_but_no_batch_statistics(
    jointly: dict[str, Path], truth: Path
) -> None:
    before, after = tables.read_arrays(truth), tables.read_arrays(jointly["fixed"])
    for name, value in before.items():
        if name.startswith("generator/layers"):
            same = np.array_equal(after[name], value)
            assert same == any(word in name for word in ("running", "num_batches")), name


def evaluate(encoder: Path, others: dict[str, Path], inception: Path, scratch: Path) -> Run:
    inputs = {"ground_truth": encoder, "inception": inception, **others}
    return Run("smoke", inputs=inputs, scratch=scratch)


def test_equal_models_have_equal_rows(encoder: Path, records: dict[str, Path], tmp_path: Path) -> None:
    others = dict.fromkeys(("fixed", "learned"), encoder)
    run = evaluate(encoder, others, records["fid_inception"], tmp_path / "scratch")
    found = celeba_evaluate.run(EVALUATE, run)
    table = found["table"]
    assert table["model"].tolist() == ["ground_truth", "elbo_fixed", "elbo_learned"]
    for column in ("elbo", "elbo_se", "kl", "distance", "sigma"):
        assert table[column].nunique() == 1, column
    assert set(table["features"]) == {"tiny"}
    assert set(table["data"]) == {"stand-in"}
    assert (table["distance"] > 0).all()  # two independent sets
    samples = found["samples"]
    assert samples["samples"].tolist() == 3 * ["means"] + 3 * ["draws"]
    assert samples.groupby("samples")["kid"].nunique().eq(1).all()
    assert within(samples["kid"], samples["kid_se"], times=5)  # without bias, two sets are 0 apart
    pictures = found["pictures"]
    for name in ("x", "decoded", "samples_elbo_fixed"):
        assert pictures[name].shape == (4, 16, 16, 3)
        assert pictures[name].dtype == np.uint8
    np.testing.assert_array_equal(pictures["samples_ground_truth"], pictures["samples_elbo_learned"])
    assert not np.array_equal(pictures["x"], pictures["decoded"])


def test_rows_tell_models_apart(encoder: Path, records: dict[str, Path], tmp_path: Path) -> None:
    """A shifted decoder is farther away, and its ELBO is the mean over images made one by one."""
    arrays = tables.read_arrays(encoder)
    decoder, q = Decoder.from_arrays(arrays), Encoder.from_arrays(store.part("encoder", arrays))
    bias = decoder.generator.layers[-4].bias  # of the last batch normalisation
    assert bias is not None
    with torch.no_grad():
        bias += 1
    tables.write({**arrays, **decoder.to_arrays(), **store.joined({"encoder": q})}, tmp_path / "other.npz")
    others = {"fixed": encoder, "learned": tmp_path / "other.npz"}
    run = evaluate(encoder, others, records["fid_inception"], tmp_path / "scratch")
    settings = EVALUATE.model_copy(update={"batches": 20})
    found = celeba_evaluate.run(settings, run)
    table = found["table"].set_index("model")
    kids = found["samples"].set_index(["samples", "model"])
    for kind in ("means", "draws"):
        other = kids.loc[(kind, "elbo_learned")]
        assert other["kid"] > 5 * other["kid_se"] > 0
    assert table.loc["elbo_learned", "distance"] > 2 * table.loc["elbo_fixed", "distance"]
    _, x = Decoder.from_arrays(arrays).draw(4000, torch.Generator().manual_seed(5))
    with torch.no_grad():
        log_likelihood, kl = elbo_terms(decoder, q.eval(), x, torch.Generator().manual_seed(6))
    expected, error = float((log_likelihood - kl).mean()), table.loc["elbo_learned", "elbo_se"]
    assert table.loc["elbo_learned", "elbo"] == pytest.approx(expected, abs=5 * error)
    assert table.loc["elbo_learned", "elbo"] < table.loc["elbo_fixed", "elbo"] - 5 * error


def resumed(module: ModuleType, settings: Section, run: Run, calls: int) -> dict:
    """What the experiment gives when its first calls stop after one step each."""
    eager = settings.model_copy(update={"checkpoint_seconds": 1e-9})
    for _ in range(calls):
        with pytest.raises(OutOfTime):
            module.run(eager, dataclasses.replace(run, deadline=time.monotonic()))
    return module.run(eager, run)


def assert_equal(found: dict, expected: dict) -> None:
    for name, value in expected.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(found[name], value, check_exact=True)
        else:
            for key, array in value.items():
                np.testing.assert_array_equal(found[name][key], array)


@pytest.mark.parametrize("name", ["gan", "pretrain", "joint", "celeba_evaluate"])
def test_an_interrupted_experiment_ends_with_the_same_bits(
    name: str, truth: Path, encoder: Path, jointly: dict[str, Path], records: dict[str, Path], tmp_path: Path
) -> None:
    evaluated = {"ground_truth": encoder, "inception": records["fid_inception"], **jointly}
    module, settings, keys, inputs = {
        "gan": (gan, GAN.model_copy(update={"epochs": 3}), {}, {"data": records["celeba"]}),
        "pretrain": (celeba_train, PRETRAIN.model_copy(update={"steps": 6}), {}, {"start": truth}),
        "joint": (
            celeba_train,
            JOINT.model_copy(update={"steps": 6}),
            {"sigma": "learned"},
            {"start": encoder},
        ),
        "celeba_evaluate": (celeba_evaluate, EVALUATE, {}, evaluated),
    }[name]
    run = Run("smoke", keys, inputs, tmp_path / "a")
    expected = module.run(settings, run)
    assert_equal(resumed(module, settings, dataclasses.replace(run, scratch=tmp_path / "b"), 3), expected)
