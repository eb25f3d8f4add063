"""Frechet and kernel inception distances of images that are streamed, never stored (Heusel et al. 2017).

Network and distance are pytorch-fid's own (Seitzer 2020); the weights come from the data layer.
"""

import contextlib
import warnings
from collections.abc import Callable
from unittest import mock

import torch
import torchvision
from pytorch_fid import inception
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor, nn

from elbogap.data.loaders import Dataset
from elbogap.errors import UserError

Features = Callable[[Tensor], Tensor]  # images `[B, 3, H, W]` in [0, 1] to features `[B, F]`

INCEPTION, TINY = 2048, 16  # numbers of features
LEVELS = 255
AT_ONCE = 16  # images that Inception is given at once: 50 need 0.4 GB more and are not faster on a CPU


class Statistics(nn.Module):
    """Number, mean and scatter of features, accumulated in float64; its state is what checkpoints keep.

    With n = n_a + n_b and d = m_b - m_a: m = m_a + d n_b / n, S = S_a + S_b + d d^T n_a n_b / n
    (Chan, Golub, LeVeque 1983).
    """

    count: Tensor  # rows so far
    mean: Tensor  # [F]
    scatter: Tensor  # sum of the outer products of differences from the mean, [F, F]
    not_finite: Tensor  # rows with a feature that is not finite, which spoil mean and scatter

    def __init__(self, features: int, device: str = "cpu") -> None:
        """Of no rows yet, with F features."""
        super().__init__()
        shapes = {"count": (), "mean": (features,), "scatter": (features, features), "not_finite": ()}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64, device=device))

    def update(self, features: Tensor) -> None:
        """Take in features `[B, F]`."""
        if not len(features):
            return
        rows = features.to(self.mean)
        mean = rows.mean(0)
        centred = rows - mean
        difference = mean - self.mean
        total = self.count + len(rows)
        between = torch.outer(difference, difference) * (self.count * len(rows) / total)
        self.mean = self.mean + difference * (len(rows) / total)
        self.scatter = self.scatter + centred.mT @ centred + between
        self.count = total
        self.not_finite = self.not_finite + (~rows.isfinite().all(1)).sum()

    def covariance(self) -> Tensor:
        """The unbiased covariance matrix, `[F, F]`; a UserError for fewer than two rows."""
        if self.count < 2:
            raise UserError(f"a covariance needs two images at least, there are {self.count:.0f}")
        return self.scatter / (self.count - 1)


def distance(a: Statistics, b: Statistics) -> float:
    """d^2 = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the Frechet distance of two Gaussians.

    In squared units of the features. Estimated from n images it is too large, by about a constant over n
    (Binkowski et al. 2018): compare distances of equal n, and with that of two independent sets from one
    source. From fewer images than features the covariances are singular, and about half of the digits right.
    UserError if a set has fewer than two images, features are not finite, or a root is not real.
    """
    if a.not_finite or b.not_finite:
        raise UserError(
            f"Frechet distance: {a.not_finite:.0f} of the {a.count:.0f} images of the first set and "
            f"{b.not_finite:.0f} of the {b.count:.0f} of the second have features that are not finite; check "
            "the images and what made them"
        )
    moments = [value.cpu().numpy() for part in (a, b) for value in (part.mean, part.covariance())]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("ignore")  # of singular matrices, whose result is stated above
            return float(calculate_frechet_distance(*moments))
    except (ValueError, AssertionError) as error:
        raise UserError(f"Frechet distance of {a.count:.0f} and {b.count:.0f} images: {error}") from error


def kernel_distance(a: Tensor, b: Tensor) -> Tensor:
    """The kernel inception distance (Binkowski et al. 2018) of features `[M, F]` and `[N, F]`, without bias.

    The mean of k(x, x') over pairs of each set less twice that between the sets, k = (<x, x'> / F + 1)^3. Its
    expectation is 0 for two sets of one source; means over blocks stay unbiased and tell its standard error.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x.double() @ y.double().mT / x.shape[1] + 1) ** 3

    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return within[0] + within[1] - 2 * kernel(a, b).mean()


def as_stored(images: Tensor) -> Tensor:
    """Images with values in [-1, 1] as a file of 8 bits per channel gives them back, in [0, 1]."""
    return ((images + 1) * (LEVELS / 2)).round().clamp(0, LEVELS) / LEVELS


def inception_features(weights: Dataset, device: str = "cpu") -> Features:
    """The `INCEPTION` features of the standard network's last pooling layer."""
    state = inception_state(weights)
    # pytorch-fid has no other way to take weights than to download them
    with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
        network = inception.InceptionV3().to(device).eval()
    network = network.to(memory_format=torch.channels_last)  # 1.6 times as fast on CPUs, the same numbers

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        return torch.cat([network(part)[0].flatten(1) for part in images.split(AT_ONCE)])

    return features


def inception_state(weights: Dataset) -> dict[str, Tensor]:
    """The weights of the data set `fid_inception` under the names that pytorch-fid uses.

    Of the TorchScript file, which lacks the classifier, 0 for that. A UserError if it is no such network.
    """
    (path,) = weights.files
    if weights.record["variant"] == "canonical":
        return torch.load(path, weights_only=True, map_location="cpu")
    with torch.device("meta"):
        skeleton = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    convolution = torchvision.models.inception.BasicConv2d
    names = [name for name, module in skeleton.named_modules() if isinstance(module, convolution)]
    stored = torch.jit.load(str(path), map_location="cpu").state_dict()
    layers = [name.removesuffix(".mean") for name in stored if name.endswith(".mean")]
    if len(layers) != len(names):
        raise UserError(f"{path}: {len(layers)} convolutions, the network has {len(names)}")
    state = {f"fc.{name}": torch.zeros(value.shape) for name, value in skeleton.fc.state_dict().items()}
    for name, layer in zip(names, layers, strict=True):
        variance = stored[f"{layer}.var"]
        state |= {
            f"{name}.conv.weight": stored[f"{layer}.weight"],
            f"{name}.bn.weight": torch.ones_like(variance),
            f"{name}.bn.bias": stored[f"{layer}.beta"],
            f"{name}.bn.running_mean": stored[f"{layer}.mean"],
            f"{name}.bn.running_var": variance,
        }
    return state


def tiny_features(seed: int, device: str = "cpu") -> Features:
    """`TINY` features of a small random convolutional network, for runs without the real weights.

    Distances in them are no FID and compare with nothing else.
    """
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, TINY, 3), nn.ReLU())
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, parameter[0].numel() ** -0.5, generator=generator)
    network = network.to(device).requires_grad_(False)
    return lambda images: network(images).mean((2, 3))
