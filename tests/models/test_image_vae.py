"""The shared autoencoder of binary images against torch's own distributions."""

import torch
from torch.distributions import Bernoulli, Normal

from elbogap.models.image_vae import initial_networks, log_joint, posterior


def test_log_weights_are_log_p_x_z_over_q() -> None:
    random = torch.Generator().manual_seed(0)
    networks = initial_networks((8,), 2, (8,), "softplus", lambda _: [random, random])
    images = (torch.rand(3, 784, generator=random) < 0.3).float()
    q, joint = posterior(networks["encoder"], images[None, None]), log_joint(networks["decoder"], images)
    z = q.rsample({"normal": torch.randn(2, 4, 3, 2, generator=random)})
    mean, log_variance = networks["encoder"](images[None])[:, None].chunk(2, -1)
    log_q = Normal(mean, (log_variance / 2).exp()).log_prob(z).sum(-1)
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_likelihood = Bernoulli(logits=networks["decoder"](z)).log_prob(images).sum(-1)
    torch.testing.assert_close(joint(z) - q.log_prob(z), log_likelihood + log_prior - log_q)
    assert z.shape == (2, 4, 3, 2)


def test_the_constant_log_joint_has_no_gradient_in_the_decoder() -> None:
    random = torch.Generator().manual_seed(0)
    decoder = initial_networks((8,), 2, (8,), "softplus", lambda _: [random])["decoder"]
    z = torch.randn(1, 4, 2, generator=random, requires_grad=True)
    joint = log_joint(decoder, torch.ones(4, 784))
    torch.testing.assert_close(joint.detach()(z), joint(z))
    joint.detach()(z).sum().backward()
    assert z.grad is not None
    assert all(parameter.grad is None for parameter in decoder.parameters())
