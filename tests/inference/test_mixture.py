"""The model is x = a z + b + e, z ~ N(0, 1), e ~ N(0, v), whose p(x) and p(z|x) are known."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from allowance import within
from elbogap.densities import standard_gaussian_log_density
from elbogap.inference import bounds
from elbogap.inference.mixture import Mixture
from elbogap.runtime import torch_generator

SLOPE, OFFSET, VARIANCE = 1.5, 0.3, 0.25


def log_joint(x: Tensor, z: Tensor) -> Tensor:
    return Normal(SLOPE * z + OFFSET, VARIANCE**0.5).log_prob(x) + standard_gaussian_log_density(z[..., None])


def log_evidence(x: Tensor) -> Tensor:
    return Normal(OFFSET, (SLOPE**2 + VARIANCE) ** 0.5).log_prob(x)


def posterior(x: Tensor) -> tuple[Tensor, Tensor]:
    variance = torch.tensor(1 / (1 + SLOPE**2 / VARIANCE), dtype=torch.float64)
    return (x - OFFSET) * SLOPE / VARIANCE * variance, variance


def heads(members: int, batch: int, components: int) -> Tensor:
    shape = (members, batch, 3 * components)
    return 0.7 * torch.randn(shape, generator=torch_generator(0, "heads"), dtype=torch.float64)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch_generator(0, "noise"), dtype=torch.float64)


def test_density_is_that_of_a_mixture() -> None:
    mixture = Mixture.from_heads(heads(2, 4, 5))
    z = noise(2, 7, 4)
    components = Normal(mixture.mean, torch.exp(0.5 * mixture.log_variance))
    expected = MixtureSameFamily(Categorical(logits=mixture.log_weight), components)
    torch.testing.assert_close(mixture.log_density(z), expected.log_prob(z.movedim(-2, 0)).movedim(0, -2))


def test_draws_have_the_moments_of_their_components() -> None:
    mixture = Mixture.from_heads(heads(1, 2, 3))
    n = 20_000
    z = mixture.draw(noise(1, 3, n, 2)).unflatten(-2, (3, n))
    deviation = torch.exp(0.5 * mixture.log_variance).mT
    assert within(z.mean(-2) - mixture.mean.mT, deviation / n**0.5)
    assert within(z.std(-2) / deviation - 1, (2 * n) ** -0.5)


def test_the_posterior_itself_gives_the_evidence_for_any_draws_and_weights() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    mean, variance = posterior(x)
    mixture = Mixture(
        heads(1, 3, 4)[0, :, :4].log_softmax(-1), mean[:, None].expand(3, 4), variance.log().expand(3, 4)
    )
    z = mixture.draw(noise(4, 5, 3))
    log_weights = mixture.log_weights(z, log_joint(x, z))
    torch.testing.assert_close(log_weights.logsumexp(-2) - torch.log(torch.tensor(20.0)), log_evidence(x))


def test_one_component_is_plain_iwae() -> None:
    x = torch.tensor([-1.0, 0.5], dtype=torch.float64)
    mixture = Mixture.from_heads(heads(1, 2, 1))
    z = mixture.draw(noise(1, 1, 6, 2))
    q = Normal(mixture.mean[..., 0], torch.exp(0.5 * mixture.log_variance[..., 0]))
    expected = log_joint(x, z) - q.log_prob(z)
    torch.testing.assert_close(mixture.log_weights(z, log_joint(x, z)), expected)


@pytest.mark.parametrize("per_component", [1, 3])
def test_the_estimate_is_unbiased_and_so_is_its_gradient(per_component: int) -> None:
    """E p^ = p(x) whatever the parameters, so the mean of its gradient in each of them is 0."""
    repeats = 40_000
    x = torch.tensor([0.8], dtype=torch.float64)
    outputs = heads(1, 1, 3).expand(repeats, 1, 9).clone().requires_grad_()
    mixture = Mixture.from_heads(outputs)
    z = mixture.draw(noise(repeats, 3, per_component, 1))
    bound = bounds.iwae(mixture.log_weights(z, log_joint(x, z)))[:, 0]
    (gradient,) = torch.autograd.grad(bound.exp().sum(), outputs)
    estimate, gradient = bound.exp().detach(), gradient[:, 0]
    error = estimate.std() / repeats**0.5
    assert within(float(estimate.mean() - log_evidence(x).exp()), error)
    assert within(gradient.mean(0), gradient.std(0) / repeats**0.5)
    assert (gradient.std(0) > 1e-4).all()  # every parameter has a gradient
    assert float(bound.detach().mean()) < float(log_evidence(x))
