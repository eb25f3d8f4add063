"""Streamed statistics, the Frechet distance, and Inception's weights under pytorch-fid's names."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pytorch_fid import fid_score
from torch import Tensor, nn
from torch.nn import functional

from allowance import within
from elbogap.data import fetch, records
from elbogap.data.loaders import Dataset, load
from elbogap.errors import UserError
from elbogap.evaluation import fid

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"


def of(features: Tensor, *sizes: int) -> fid.Statistics:
    """Statistics that took in the features in parts of these sizes, and then the rest."""
    found = fid.Statistics(features.shape[1])
    for part in features.tensor_split(np.cumsum(sizes).tolist()):
        found.update(part)
    return found


@pytest.fixture
def features() -> Tensor:
    """Correlated features with means far from 0."""
    random = np.random.default_rng(0)
    return torch.from_numpy(random.normal(size=(60, 5)) @ random.normal(size=(5, 5)) + 100)


@pytest.mark.parametrize("sizes", [(), (1,), (7, 20, 1), (0, 30, 0, 1)])
def test_streamed_statistics_are_those_of_all_features(features: Tensor, sizes: tuple[int, ...]) -> None:
    found = of(features, *sizes)
    assert found.count == 60
    np.testing.assert_allclose(found.mean, features.numpy().mean(0), rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(
        found.covariance(), np.cov(features.numpy(), rowvar=False), rtol=1e-10, atol=1e-12
    )


def test_single_precision_features_are_accumulated_in_double(features: Tensor) -> None:
    found = of(features.float(), 10, 10)
    expected = np.cov(features.float().double().numpy(), rowvar=False)
    np.testing.assert_allclose(found.covariance(), expected, rtol=1e-10, atol=1e-12)


def test_resumed_statistics_are_the_whole(features: Tensor) -> None:
    first, whole = of(features[:23]), of(features)
    resumed = fid.Statistics(5)
    resumed.load_state_dict(first.state_dict())
    resumed.update(features[23:])
    assert resumed.count == 60
    torch.testing.assert_close(resumed.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(resumed.scatter, whole.scatter, rtol=1e-10, atol=1e-10)


def test_a_covariance_needs_two_images() -> None:
    with pytest.raises(UserError, match="there are 1"):
        of(torch.zeros(1, 3)).covariance()


def test_equal_sets_have_distance_zero(features: Tensor) -> None:
    assert fid.distance(of(features), of(features, 13)) == pytest.approx(0, abs=1e-6)


def gaussian(mean: list[float], covariance: list[list[float]]) -> fid.Statistics:
    """Statistics as of very many draws of a Gaussian."""
    found = fid.Statistics(len(mean))
    scatter = 1000 * torch.tensor(covariance, dtype=torch.float64)
    number, mean = torch.tensor(1001), torch.tensor(mean)
    found.load_state_dict({"count": number, "mean": mean, "scatter": scatter, "not_finite": torch.tensor(0)})
    return found


def test_distance_of_gaussians_has_its_closed_form() -> None:
    """For 2 x 2 matrices tr (A B)^(1/2) = (tr A B + 2 (det A B)^(1/2))^(1/2), commuting or not."""
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = 3**2 + 4**2 + np.trace(a + b) - 2 * root
    found = fid.distance(gaussian([1.0, 2.0], a.tolist()), gaussian([4.0, -2.0], b.tolist()))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_counted_in_their_set(features: Tensor, value: float) -> None:
    spoilt = features.clone()
    spoilt[[3, 40], 2] = value
    spoilt[40, 3] = value
    whole, resumed = of(spoilt), fid.Statistics(5)
    resumed.load_state_dict(of(spoilt[:23]).state_dict())
    resumed.update(spoilt[23:])
    for one in (whole, resumed):
        with pytest.raises(
            UserError, match="0 of the 60 images of the first set and 2 of the 60 of the second"
        ):
            fid.distance(of(features), one)
    with pytest.raises(UserError, match="2 of the 60 images of the first set and 0 of the 30 of the second"):
        fid.distance(whole, of(features[:30]))


@pytest.mark.parametrize(
    ("a", "b"), [((2, 2), (2, 2)), ((4, 5), (50, 5)), ((0, 5), (50, 5)), ((0, 5), (0, 5))]
)
def test_singular_covariances_have_a_distance_and_no_word(
    a: tuple[int, int],
    b: tuple[int, int],
    recwarn: pytest.WarningsRecorder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Against the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric; no rows mean equal ones."""
    random = np.random.default_rng(1)
    sets = [torch.from_numpy(random.normal(size=s) if s[0] else np.ones((3, s[1]))) for s in (a, b)]
    found = fid.distance(*(of(one) for one in sets))
    (mean_a, root), (mean_b, c) = ((one.mean(0), torch.from_numpy(np.cov(one.numpy().T))) for one in sets)
    values, vectors = torch.linalg.eigh(root)
    half = vectors * values.clamp(min=0).sqrt() @ vectors.T
    trace = torch.linalg.eigvalsh(half @ c @ half).clamp(min=0).sqrt().sum()
    expected = (mean_a - mean_b).square().sum() + root.trace() + c.trace() - 2 * trace
    assert found == pytest.approx(float(expected), rel=1e-5, abs=1e-9)
    assert not recwarn.list
    assert capsys.readouterr().out == ""


def test_sets_of_other_features_are_refused() -> None:
    with pytest.raises(UserError, match="different lengths"):
        fid.distance(of(torch.rand(9, 3)), of(torch.rand(9, 4)))


def test_images_are_rounded_as_files_round_them(tmp_path: Path) -> None:
    images = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2
    stored = fid.as_stored(images)
    pixels = (stored * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "image.png")
    again = torchvision.transforms.ToTensor()(Image.open(tmp_path / "image.png"))
    torch.testing.assert_close(stored, again, rtol=0, atol=1e-7)
    inside = images.abs() <= 1
    assert ((2 * stored - 1 - images)[inside].abs() <= 1 / 255 + 1e-6).all()
    assert stored.min() == 0
    assert stored.max() == 1


def test_tiny_features_follow_from_the_seed() -> None:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = fid.tiny_features(1)(images)
    assert found.shape == (4, fid.TINY)
    assert torch.equal(found, fid.tiny_features(1)(images))
    assert not torch.equal(found, fid.tiny_features(2)(images))


class Layer(nn.Module):
    """One convolution of the TorchScript file."""

    def __init__(self, state: dict[str, Tensor], name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(state[f"{name}.conv.weight"])
        self.register_buffer("beta", state[f"{name}.bn.bias"])
        self.register_buffer("mean", state[f"{name}.bn.running_mean"])
        self.register_buffer("var", state[f"{name}.bn.running_var"])

    def forward(self, x: Tensor) -> Tensor:
        return x


def weights_at(path: Path, variant: str) -> Dataset:
    return Dataset("fid_inception", "real", {}, {"variant": variant}, (path,))


@pytest.fixture(scope="module")
def made_up() -> dict[str, Tensor]:
    """Random weights of an Inception network, with scales of 1 as in the standard one."""
    torch.manual_seed(0)
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith(("bn.bias", "running_mean")):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return state


def scripted(state: dict[str, Tensor], path: Path, drop: int = 0) -> Dataset:
    names = [name.removesuffix(".conv.weight") for name in state if name.endswith(".conv.weight")]
    layers = nn.Sequential(*(Layer(state, name) for name in names[drop:]))
    torch.jit.script(layers).save(str(path))
    return weights_at(path, "torchscript")


def test_both_files_give_the_same_network_without_a_download(
    made_up: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(made_up, tmp_path / WEIGHTS)
    torch_script = scripted(made_up, tmp_path / "scripted.pt")
    converted = fid.inception_state(torch_script)
    for name, value in made_up.items():
        if "fc." not in name and "num_batches" not in name:
            assert torch.equal(converted[name], value), name
    monkeypatch.setattr(
        "pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: pytest.fail("a download")
    )
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = [
        fid.inception_features(one)(images)
        for one in (torch_script, weights_at(tmp_path / WEIGHTS, "canonical"))
    ]
    assert found[0].shape == (2, fid.INCEPTION)
    assert found[0].std() > 0
    assert torch.equal(found[0], found[1])


def test_a_file_of_another_network_is_refused(made_up: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="93 convolutions, the network has 94"):
        fid.inception_state(scripted(made_up, tmp_path / "scripted.pt", drop=1))


@pytest.fixture
def weights(tmp_path: Path) -> Dataset:
    """The real ones."""
    if fetch.local("fid_inception", say=fetch.ignore) is None:
        pytest.skip("no network: nothing has served fid_inception; try 'python -m elbogap data fetch'")
    record = tmp_path / "record.json"
    record.write_text(json.dumps(records.make("fid_inception", "never", "settled")), encoding="utf-8")
    return load(record)


def test_renamed_weights_make_the_network_that_the_file_itself_computes(weights: Dataset) -> None:
    """The TorchScript file is a program besides: it takes images of side 299 in [-1, 1]."""
    if weights.record["variant"] != "torchscript":
        pytest.skip("needs the TorchScript file; this copy is pytorch-fid's own, whose names need no change")
    coarse = 2 * torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) - 1
    images = functional.interpolate(coarse, (299, 299), mode="bilinear")
    network = torch.jit.load(str(weights.files[0]), map_location="cpu").eval()
    with torch.no_grad():
        theirs = network(images)
    ours = fid.inception_features(weights)((images + 1) / 2)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert theirs.max() > 1


def test_statistics_are_those_of_pytorch_fid_s_command(
    weights: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On files of the same images, with the real weights."""
    images = fid.as_stored(torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0)) / 2)
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(images):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
    home = tmp_path / "torch" / "hub" / "checkpoints"
    home.mkdir(parents=True)
    torch.save(fid.inception_state(weights), home / WEIGHTS)
    words = ["--save-stats", str(folder), str(tmp_path / "theirs.npz"), "--device", "cpu"]
    words += ["--num-workers", "0", "--batch-size", "4"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(sys, "argv", ["pytorch_fid", *words])
    fid_score.main()
    shutil.rmtree(home)
    theirs = np.load(tmp_path / "theirs.npz")
    features = fid.inception_features(weights)
    ours = fid.Statistics(fid.INCEPTION)
    for part in images.split(3):
        ours.update(features(part))
    np.testing.assert_allclose(ours.mean, theirs["mu"], atol=1e-3)
    np.testing.assert_allclose(ours.covariance(), theirs["sigma"], atol=1e-3)
    assert theirs["mu"].max() > 0.1


def test_the_kernel_distance_is_the_mean_over_pairs_and_has_no_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 3, generator=generator), torch.randn(7, 3, generator=generator) + 1)

    def k(x: Tensor, y: Tensor) -> float:
        return float((x.double() @ y.double() / 3 + 1) ** 3)

    expected = sum(k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / 20
    expected += sum(k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / 42
    expected -= 2 * sum(k(x, y) for x in a for y in b) / 35
    assert fid.kernel_distance(a, b).item() == pytest.approx(expected)
    same = torch.stack(
        [fid.kernel_distance(*torch.randn(2, 20, 3, generator=generator)) for _ in range(2000)]
    )
    assert within(float(same.mean()), float(same.std()) / 2000**0.5)
