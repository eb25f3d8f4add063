"""The mixture family gives the values and gradients of the class that it replaces."""

import torch
from torch import Tensor

from elbogap.densities import standard_gaussian_log_density
from elbogap.inference import bounds, noise
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.mixture import Mixture
from elbogap.inference.objectives.elbo import IWAE

M, S = 3, 5


def test_iwae_with_stratified_draws_of_a_mixture() -> None:
    generator = torch.Generator().manual_seed(1)
    heads = torch.randn(M, 4, 3 * 5, generator=generator, dtype=torch.float64).requires_grad_()
    q, before = GaussianMixture.from_heads(heads, 1), Mixture.from_heads(heads)
    batch = noise.draw(q.noise(5 * S, 4), generator, M, dtype=torch.float64)
    z = before.draw(batch["normal"].squeeze(-1).unflatten(1, (5, S)))

    def joint(z: Tensor) -> Tensor:
        return standard_gaussian_log_density(z) - (z[..., 0] - 1).square()

    expected = bounds.iwae(before.log_weights(z, joint(z.unsqueeze(-1)))).mean(-1)
    found = IWAE().estimate(q, joint, batch).mean()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    ours, theirs = (torch.autograd.grad(one.sum(), heads, retain_graph=True)[0] for one in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
