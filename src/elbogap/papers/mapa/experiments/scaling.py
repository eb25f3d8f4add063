"""What MAPA costs for many points, exactly and by neighbours; truncation and near batches (ours)."""

import time
from collections.abc import Iterator
from itertools import product

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from elbogap.densities import log_mean_exp, log_softmax, log_sum_exp
from elbogap.inference.families.proposal import Proposal
from elbogap.mapa.kernels import Gaussian, log_kernels
from elbogap.mapa.model import Mapa
from elbogap.mapa.proposal import NeighbourProposal
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Scaling as Settings
from elbogap.runtime import Run, torch_generator

GRID, BEYOND = 4000, 1.0  # of the codes' prior by quadrature


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Of the problem whose ground truth is the input `surrogate`.

    Returns:
        `scaling`: by number N of points and kind of proposal, exact or of neighbours, `proposal_s` of a core
        to make it, `proposal_mib` that its tensors take, and `epoch_s` to train an epoch; `truncation`: by
        number K of neighbours and data set, how far the log-likelihood of the true codes falls if all other
        terms are dropped, and the Jensen gap of S samples, nats per observation; `batches`: by size of the
        groups of near points and seed, `passes_per_point`, the `variance` of a step's gradient over its
        squared mean, and `test_loglik` by quadrature after `most_passes` decoder passes.
    """
    truth = GroundTruth.load("circle", run.inputs["surrogate"])
    return {
        "scaling": pd.DataFrame(_scaling(settings, truth)),
        "truncation": pd.DataFrame(_truncation(settings, truth)),
        "batches": pd.DataFrame(_batches(settings, truth)),
    }


def _model(settings: Settings, truth: GroundTruth, seed: int) -> Mapa:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder, decoder = (
            nn.Sequential(nn.Linear(a, settings.width), nn.Tanh(), nn.Linear(settings.width, b))
            for a, b in ((2, 1), (1, 2))
        )
    return Mapa(encoder, decoder, Gaussian(truth.noise_variance), settings.code_scale, settings.neighbours)


def _scaling(settings: Settings, truth: GroundTruth) -> Iterator[dict[str, object]]:
    _epoch(settings, truth, truth.data_set(settings.batch, settings.seed, 0)[1].float())  # warms up
    for points in tqdm(settings.sizes, desc="scaling", mininterval=5):
        x = truth.data_set(points, settings.seed, 0)[1].float()
        kernel, key = Gaussian(truth.noise_variance), {"points": points, "neighbours": settings.neighbours}
        start = time.perf_counter()
        near = NeighbourProposal.prepare(kernel, x, neighbours=settings.neighbours)
        made = {"kind": "neighbours", "proposal_s": time.perf_counter() - start, "proposal_mib": _mib(near)}
        yield key | made | {"epoch_s": _epoch(settings, truth, x)}
        if points <= settings.most_exact:
            start = time.perf_counter()
            generator = torch.Generator().manual_seed(settings.seed)
            exact = Proposal.prepare(log_softmax(log_kernels(kernel, x), -1), 5, generator)
            spent = time.perf_counter() - start
            yield key | {"kind": "exact", "proposal_s": spent, "proposal_mib": _mib(exact)}


def _epoch(settings: Settings, truth: GroundTruth, x: Tensor) -> float:
    """Seconds of one epoch: half of what three take longer than one."""

    def seconds(epochs: int) -> float:
        start = time.perf_counter()
        _model(settings, truth, settings.seed).fit(
            x, epochs=epochs, batch_size=settings.batch, progress=False
        )
        return time.perf_counter() - start

    return (seconds(3) - seconds(1)) / 2


def _mib(proposal: object) -> float:
    tensors = (value for value in vars(proposal).values() if isinstance(value, Tensor))
    return sum(value.numel() * value.element_size() for value in tensors) / 2**20


def _truncation(settings: Settings, truth: GroundTruth) -> Iterator[dict[str, object]]:
    for draw in range(settings.draws):
        z, x = truth.data_set(settings.exact_points, settings.seed, draw)
        means, kernel = truth.decode(z), Gaussian(truth.noise_variance)
        random = torch_generator(settings.seed, "mapa.scaling", "terms", draw)
        for count in settings.truncations:
            near = NeighbourProposal.prepare(kernel, x, neighbours=count + 1, head=count)
            lost: list[Tensor] = []
            jensen: list[Tensor] = []
            for rows in torch.arange(len(x)).split(500):
                values = kernel.log_likelihood(x[rows], means)
                whole = log_mean_exp(values, -1)
                for found, samples in ((lost, 0), (jensen, settings.samples)):
                    terms = near.terms(rows, samples, random)
                    bound = log_sum_exp(values.gather(-1, terms.indices) + terms.log_weights, -1)
                    found.append(whole - bound + torch.tensor(len(x)).log())
            means_of = {"dropped": torch.cat(lost).mean(), "sampled": torch.cat(jensen).mean()}
            yield {"points": len(x), "draw": draw, "neighbours": count, "samples": settings.samples} | {
                name: float(value) for name, value in means_of.items()
            }


def _batches(settings: Settings, truth: GroundTruth) -> Iterator[dict[str, object]]:
    cells = [*product(settings.leaf_sizes, range(settings.seeds))]
    for leaf_size, seed in tqdm(cells, desc="near batches", mininterval=5):
        x = truth.data_set(settings.exact_points, settings.seed, seed)[1].float()
        test = truth.data_set(settings.test_points, settings.seed, settings.seeds + seed)[1].float()
        options = {
            "batch_size": settings.batch,
            "learning_rate": settings.learning_rate,
            "leaf_size": leaf_size,
        }
        model = _model(settings, truth, seed)
        model.fit(x, epochs=1, seed=seed, progress=False, **options)  # type: ignore[arg-type]
        per_epoch = model.passes_per_epoch(x, settings.batch, leaf_size, seed)
        variance = model.gradient_variance(x, settings.batch, leaf_size, seed)
        model = _model(settings, truth, seed)
        epochs = max(1, round(settings.most_passes * len(x) / per_epoch))
        model.fit(x, epochs=epochs, seed=seed, progress=False, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            low, high = float(model.codes.min()) - BEYOND, float(model.codes.max()) + BEYOND
            grid = torch.linspace(low, high, GRID).unsqueeze(-1)
            joint = model.kernel.log_likelihood(test, model.decoder(grid)) + model.prior()(grid)
            loglik = torch.logsumexp(joint, -1) + torch.log(grid[1] - grid[0])
        yield {
            "points": len(x), "leaf_size": leaf_size, "seed": seed, "epochs": epochs,
            "passes_per_point": per_epoch / len(x), "variance": variance,
            "decoder_passes": model.decoder_passes / len(x), "test_loglik": float(loglik.mean()),
        }  # fmt: skip
