"""Mixtures with stratified draws; the model is x = a z + b + e, z ~ N(0, 1), e ~ N(0, v), with known p(x)."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from allowance import within
from elbogap.densities import standard_gaussian_log_density
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.noise import draw
from elbogap.inference.objectives.elbo import ELBO, IWAE
from elbogap.runtime import torch_generator

SLOPE, OFFSET, VARIANCE = 1.5, 0.3, 0.25


def log_joint(x: Tensor) -> LogJoint:
    def of_draws(z: Tensor) -> Tensor:
        mean = SLOPE * z.squeeze(-1) + OFFSET
        return Normal(mean, VARIANCE**0.5).log_prob(x) + standard_gaussian_log_density(z)

    return of_draws


def log_evidence(x: Tensor) -> Tensor:
    return Normal(OFFSET, (SLOPE**2 + VARIANCE) ** 0.5).log_prob(x)


def posterior(x: Tensor) -> tuple[Tensor, Tensor]:
    variance = torch.tensor(1 / (1 + SLOPE**2 / VARIANCE), dtype=torch.float64)
    return (x - OFFSET) * SLOPE / VARIANCE * variance, variance


def heads(members: int, batch: int, components: int) -> Tensor:
    shape = (members, batch, 3 * components)
    return 0.7 * torch.randn(shape, generator=torch_generator(0, "heads"), dtype=torch.float64)


def noise(q: GaussianMixture, *batch: int) -> dict[str, Tensor]:
    return draw(q.noise(*batch), torch_generator(0, "noise"), dtype=torch.float64)


def test_density_is_that_of_a_mixture() -> None:
    q = GaussianMixture.from_heads(heads(2, 4, 5), 1)
    z = noise(q, 2, 7, 4)["normal"]
    components = Normal(q.mean.squeeze(-1), q.scale.squeeze(-1))
    expected = MixtureSameFamily(Categorical(logits=q.log_weight), components)
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z.squeeze(-1).movedim(-2, 0)).movedim(0, -2))


def test_draws_have_the_moments_of_their_components() -> None:
    q, n = GaussianMixture.from_heads(heads(1, 2, 3), 1), 20_000
    z = q.rsample(noise(q, 1, 3 * n, 2)).unflatten(-3, (3, n))
    mean, scale = (own.movedim(-2, -3) for own in (q.mean, q.scale))
    assert within(z.mean(-3) - mean, scale / n**0.5)
    assert within(z.std(-3) / scale - 1, (2 * n) ** -0.5)


def test_the_posterior_itself_gives_the_evidence_for_any_draws_and_weights() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    mean, variance = posterior(x)
    equal = mean[:, None, None].expand(3, 4, 1)
    log_weight = heads(1, 3, 4)[0, :, :4].log_softmax(-1)
    q = GaussianMixture(log_weight, equal, variance.sqrt().expand_as(equal), draws_axis=-3)
    found = IWAE().estimate(q, log_joint(x), noise(q, 20, 3))
    torch.testing.assert_close(found.value, log_evidence(x))


def test_one_component_is_plain_iwae() -> None:
    x = torch.tensor([-1.0, 0.5], dtype=torch.float64)
    q = GaussianMixture.from_heads(heads(1, 2, 1), 1)
    plain = DiagonalGaussian(q.mean.movedim(-2, -3), 2 * q.scale.log().movedim(-2, -3))
    given = noise(q, 1, 6, 2)
    ours, theirs = (IWAE().estimate(one, log_joint(x), given).value for one in (q, plain))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("per_component", [1, 3])
def test_the_estimate_is_unbiased_and_so_is_its_gradient(per_component: int) -> None:
    """E p^ = p(x) whatever the parameters, so the mean of its gradient in each of them is 0."""
    repeats = 40_000
    x = torch.tensor([0.8], dtype=torch.float64)
    outputs = heads(1, 1, 3).expand(repeats, 1, 9).clone().requires_grad_()
    q = GaussianMixture.from_heads(outputs, 1)
    found = IWAE().estimate(q, log_joint(x), noise(q, repeats, 3 * per_component, 1))
    bound = found.surrogate[:, 0]
    (gradient,) = torch.autograd.grad(bound.exp().sum(), outputs)
    estimate, gradient = bound.exp().detach(), gradient[:, 0]
    error = estimate.std() / repeats**0.5
    assert within(float(estimate.mean() - log_evidence(x).exp()), error)
    assert within(gradient.mean(0), gradient.std(0) / repeats**0.5)
    assert (gradient.std(0) > 1e-4).all()  # every parameter has a gradient
    assert float(bound.detach().mean()) < float(log_evidence(x))


def test_covariance_is_that_of_draws() -> None:
    q = GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=torch.float64).log(),
        torch.tensor([[-1.0, 0.5], [1.2, 0.3]], dtype=torch.float64),
        torch.tensor([[0.6, 0.8], [0.9, -0.7]], dtype=torch.float64),
    )
    count = 200_000
    z, weights = q.rsample(noise(q, count)), q.log_draw_weights(count).exp()
    about = z - weights @ z
    torch.testing.assert_close(about.mT @ (weights[:, None] * about), q.covariance(), rtol=0, atol=0.02)


def test_a_draw_without_density_leaves_the_gradient_of_the_others() -> None:
    logits = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    mean = torch.tensor([[-1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    q = GaussianMixture(logits.log_softmax(-1), mean, torch.ones(2, 1, dtype=torch.float64))
    normal = torch.tensor([[0.4], [-0.7], [0.1], [9.0]], dtype=torch.float64)
    log_target = log_joint(torch.tensor(0.5, dtype=torch.float64))
    cut = ELBO().estimate(
        q, lambda z: torch.where(z[..., 0] > 10, -torch.inf, log_target(z)), {"normal": normal}
    )
    assert cut.value.isneginf().tolist() == [False, False, False, True]
    z = q.rsample({"normal": normal})[:3]
    others = (q.log_draw_weights(4)[:3].exp() * (log_target(z) - q.log_prob(z))).sum()
    expected = torch.autograd.grad(others, [logits, mean], retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(cut.mean(), [logits, mean]), expected)
