"""The families and objectives give the values and gradients of the functions that they replace."""

from functools import partial

import pytest
import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density
from elbogap.inference import affine_mean as old_affine
from elbogap.inference import bounds, contrastive, hmc, noise
from elbogap.inference import semi_implicit as old
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.objectives.contrastive import VCD, Hoffman
from elbogap.inference.objectives.elbo import ELBO, IWAE, SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP

M, S, D, E, T = 3, 5, 2, 4, 6
KERNEL = hmc.Kernel(4, leapfrog_steps=3, burn_in=2, adaptation=hmc.Adaptation(0.9, 0.01))
STEP = 0.2


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def log_joint(z: Tensor) -> Tensor:
    """Curved and with two modes."""
    first, second = z.unbind(-1)
    return (
        torch.logaddexp(-0.5 * (first - 1).square(), -(first + 1).square())
        - (second - first.square()).square()
    )


def network() -> MLP:
    return MLP(M, [E, 7, D], "tanh", generator(), "wide", torch.float64)


def drawn(specs: noise.Specs) -> dict[str, Tensor]:
    return noise.draw(specs, generator(), M, dtype=torch.float64)


def gradients(value: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(value.sum(), parameters, retain_graph=True))


def same(new: Tensor, old: Tensor, parameters: list[Tensor]) -> None:
    """Values and gradients."""
    torch.testing.assert_close(new, old, rtol=1e-10, atol=1e-12)
    for one, other in zip(gradients(new, parameters), gradients(old, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def chain(batch: dict[str, Tensor]) -> hmc.Noise:
    return hmc.Noise(batch["momenta"].movedim(1, 0), batch["uniforms"].movedim(1, 0))


@pytest.mark.parametrize("affine", [False, True])
def test_sivi(affine: bool) -> None:
    mean, log_scale = network(), normal(M, 1, D).mul(0.3).requires_grad_()
    parameters = [*mean.parameters(), log_scale]
    objective = SIVI(T)
    batch = drawn(objective.noise(S, dimensions=D, mixing=E))
    own = batch["mixing"], batch["normal"]
    if affine:
        new = objective.estimate(AffineMean(mean.layers(), log_scale), log_joint, batch)
        family = old_affine.AffineMean.of(mean.layers(), log_scale)
        before = old_affine.sivi_bound(log_joint, family, *own, batch["more"].squeeze(-2))
    else:
        new = objective.estimate(SemiImplicit(mean.layers(), log_scale, E), log_joint, batch)
        before = old.sivi_bound(log_joint, old.SemiImplicit(mean.layers(), log_scale), *own, batch["more"])
    same(new.mean(), before.mean(-1), parameters)


@pytest.mark.parametrize("affine", [False, True])
def test_uivi(affine: bool) -> None:
    mean, log_scale = network(), normal(M, 1, D).mul(0.3).requires_grad_()
    parameters = [*mean.parameters(), log_scale]
    objective, count = UIVI(KERNEL, STEP), 1 if affine else S
    batch = drawn(objective.noise(count, dimensions=D, mixing=E))
    state = objective.initial_state(M).double()
    q = AffineMean(mean.layers(), log_scale) if affine else SemiImplicit(mean.layers(), log_scale, E)
    new = objective.estimate(q, log_joint, batch, state)
    family = old.SemiImplicit(mean.layers(), log_scale)
    constant = old.SemiImplicit(mean.layers().detach(), log_scale.detach())
    reverse = None
    if affine:
        detached = old_affine.AffineMean.of(mean.layers().detach(), log_scale.detach())
        reverse = detached.reverse(batch["mixing"], batch["normal"])
    found = old.uivi_gradient(
        log_joint, family, constant, batch["mixing"], batch["normal"], chain(batch),
        step_size=torch.full((M, 1), STEP).double(), burn_in=2, leapfrog_steps=3,
        adaptation=KERNEL.adaptation, reverse=reverse,
    )  # fmt: skip
    bound = found.log_joint - constant.conditional(found.z, constant.mean(batch["mixing"]))
    before = (found.surrogate - found.surrogate.detach() + bound).mean(-1)
    same(new.mean(), before, parameters)
    torch.testing.assert_close(state.value, found.chains.step_size, rtol=1e-10, atol=1e-12)


def gaussian() -> tuple[DiagonalGaussian, list[Tensor]]:
    mean, log_variance = (normal(M, 1, D + i).narrow(-1, i, D).clone().requires_grad_() for i in range(2))
    return DiagonalGaussian(mean, log_variance), [mean, log_variance]


@pytest.mark.parametrize("doubly", [False, True])
def test_iwae(doubly: bool) -> None:
    q, parameters = gaussian()
    q = DiagonalGaussian(q.mean.unsqueeze(-2), q.log_variance.unsqueeze(-2))
    objective = IWAE(doubly)
    batch = drawn(objective.noise(S, 1, dimensions=D))
    z = q.mean + torch.exp(0.5 * q.log_variance) * batch["normal"]

    def log_weights(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        return log_joint(z) - gaussian_log_density(z, mean, log_variance)

    constant = partial(log_weights, mean=q.mean.detach(), log_variance=q.log_variance.detach())
    before = (
        bounds.doubly_reparameterised_iwae(z, constant)
        if doubly
        else bounds.iwae(log_weights(z, q.mean, q.log_variance))
    )
    same(objective.estimate(q, log_joint, batch).mean(), before.mean(-1), parameters)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_vcd_with_a_model_that_learns(alpha: float) -> None:
    q, parameters = gaussian()
    slope = normal(M, 1).requires_grad_()
    objective = VCD(KERNEL, STEP, alpha)
    batch = drawn(objective.noise(S, dimensions=D))
    state = objective.initial_state(M).double()
    state.control.value.copy_(normal(M, 1))
    baseline, size = state.control.value.clone(), state.value.clone()
    model = Sloped(slope)
    new = objective.estimate(q, model, batch, state)
    frozen, start = model.detach(), q.rsample(batch)
    chains = hmc.sample(
        frozen,
        start,
        chain(batch),
        step_size=size,
        leapfrog_steps=3,
        adapting=2,
        adaptation=KERNEL.adaptation,
    )
    found = contrastive.alpha_vcd(frozen, q.log_prob, start, chains.last, alpha, baseline)
    total = model(chains.last) - found.surrogate
    before = (total - total.detach() - found.value).mean(-1)
    same(new.mean(), before, [*parameters, slope])
    torch.testing.assert_close(
        state.control.value, baseline.lerp(found.refined.mean(1, keepdim=True), 0.1), rtol=1e-10, atol=1e-12
    )


def test_hoffman() -> None:
    q, parameters = gaussian()
    slope = normal(M, 1).requires_grad_()
    objective = Hoffman(KERNEL, STEP)
    batch = drawn(objective.noise(S, dimensions=D))
    model, start = Sloped(slope), q.rsample(batch)
    new = objective.estimate(q, model, batch, objective.initial_state(M).double())
    chains = hmc.sample(
        model.detach(), start, chain(batch), step_size=torch.full((M, 1), STEP).double(), leapfrog_steps=3,
        adapting=2, adaptation=KERNEL.adaptation,
    )  # fmt: skip
    before = contrastive.hoffman(model.detach(), model, q.log_prob, start, chains.last)
    same(new.mean(), before.mean(-1), [*parameters, slope])


class Sloped:
    """A log-joint with a parameter."""

    def __init__(self, slope: Tensor) -> None:
        self.slope = slope

    def __call__(self, z: Tensor) -> Tensor:
        return log_joint(z) + self.slope * z[..., 0]

    def detach(self) -> "Sloped":
        return Sloped(self.slope.detach())


def test_stratified_vcd_of_a_mixture() -> None:
    """The weights' own gradient is that of the ELBO's sum over components."""
    logits, mean, scale = (normal(M, *shape).requires_grad_() for shape in ((2,), (2, D), (3, D)))
    scale = scale[:, :2].detach().clone().requires_grad_()
    q = GaussianMixture(logits.log_softmax(-1), mean, scale)
    objective = VCD(KERNEL, STEP, 0.7)
    batch = drawn(objective.noise(2 * S, dimensions=D))
    state = objective.initial_state(M).double()
    new = objective.estimate(q, log_joint, batch, state).mean()
    start, zero = q.rsample(batch), torch.zeros(M, 1).double()
    chains = hmc.sample(
        log_joint, start, chain(batch), step_size=torch.full((M, 1), STEP).double(), leapfrog_steps=3,
        adapting=2, adaptation=KERNEL.adaptation,
    )  # fmt: skip
    found = contrastive.alpha_vcd(log_joint, q.log_prob, start, chains.last, 0.7, zero)
    weight = (q.log_weight.exp() / S).repeat_interleave(S, 1)
    fixed = weight.detach()
    first = found.value - 0.7 * found.refined
    surrogate = (fixed * found.surrogate + weight * first).sum(1)
    before = surrogate.detach() - surrogate - (fixed * found.value).sum(1)
    same(new, before, [logits, mean, scale])


def test_elbo() -> None:
    q, parameters = gaussian()
    batch = drawn(ELBO().noise(S, dimensions=D))
    z = q.rsample(batch)
    before = log_joint(z) - gaussian_log_density(z, q.mean, q.log_variance)
    same(ELBO().estimate(q, log_joint, batch).mean(), before.mean(-1), parameters)
