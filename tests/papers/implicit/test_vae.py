"""The objectives of the models with one latent variable per image."""

from functools import partial

import pytest
import torch
from torch import Tensor

from elbogap.densities import gaussian_log_density
from elbogap.ensemble import Batch, Variational
from elbogap.inference import hmc
from elbogap.inference.objectives.contrastive import RunningMeanPerDatum
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit import vae
from elbogap.papers.implicit.names import OF_VAE
from elbogap.papers.implicit.settings import VaeTrain
from elbogap.papers.implicit.vae import Learning, posterior
from elbogap.runtime import torch_generator


def pictures(count: int = 60) -> Tensor:
    return (torch.rand(count, 784, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def first_step(settings: VaeTrain, name: str) -> tuple[Variational, dict[str, MLP], Batch]:
    """The objective, initial networks and first minibatch of a cell."""
    learning = Learning(settings, "binarized_mnist", settings.cells[name], [0, 1])
    training, networks = learning.variational(pictures()), learning.initial_networks()
    return training, networks, {key: values[:, 0] for key, values in training.prepare(0).items()}


def test_the_log_joint_is_that_of_independent_pixels() -> None:
    x, z = pictures(6).view(2, 3, 784), torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1))
    decoder = MLP(2, [4, 6, 784], "relu", torch.Generator().manual_seed(2))
    pixels = torch.distributions.Bernoulli(logits=decoder(z)).log_prob(x[:, None]).sum(-1)
    prior = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    torch.testing.assert_close(vae.log_joint(decoder, x[:, None])(z), pixels + prior, rtol=1e-5, atol=1e-3)


def test_the_prepared_noise_depends_on_nothing_but_seed_and_round(vae_settings: VaeTrain) -> None:
    both, _, _ = first_step(vae_settings, "vcd")
    learning = Learning(vae_settings, "binarized_mnist", vae_settings.cells["vcd"], [1])
    alone = learning.variational(pictures())
    for name, values in both.prepare(3).items():
        assert torch.equal(values[1:], alone.prepare(3)[name])
        assert not torch.equal(values, both.prepare(4)[name])


def test_a_round_longer_than_a_pass_shuffles_again(vae_settings: VaeTrain) -> None:
    training, _, _ = first_step(vae_settings, "elbo")
    rows = training.prepare(0)["rows"][0]
    assert rows.shape == (5, 20)
    assert sorted(rows[:3].flatten().tolist()) == list(range(60))
    assert len(set(rows[3:].flatten().tolist())) == 40


@pytest.mark.parametrize("name", OF_VAE)
def test_values_are_means_with_the_gradient_of_sums(vae_settings: VaeTrain, name: str) -> None:
    training, networks, batch = first_step(vae_settings, name)
    value = training.value(networks, batch)
    assert value.shape == (2,)
    assert value.isfinite().all()
    value.sum().backward()
    for network in networks.values():
        assert network.biases[-1].grad is not None
        assert network.biases[-1].grad.abs().sum() > 0


def test_the_elbo_is_that_of_the_reparameterised_draw(vae_settings: VaeTrain) -> None:
    training, networks, batch = first_step(vae_settings, "elbo")
    x = pictures()[batch["rows"]]
    q = posterior(networks, OF_VAE["elbo"], x)
    z = q.mean + (0.5 * q.log_variance).exp() * batch["normal"]
    bound = vae.log_joint(networks["decoder"], x)(z) - gaussian_log_density(z, q.mean, q.log_variance)
    torch.testing.assert_close(training.value(networks, batch), bound.mean(1))
    (expected,) = torch.autograd.grad(bound.sum(), networks["mean"].weights[0])
    (found,) = torch.autograd.grad(training.value(networks, batch).sum(), networks["mean"].weights[0])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["hoffman", "vcd"])
def test_the_model_learns_from_refined_draws_alone(vae_settings: VaeTrain, name: str) -> None:
    training, networks, batch = first_step(vae_settings, name)
    x = pictures()[batch["rows"]]
    q = posterior(networks, OF_VAE["elbo"], x)
    z = (q.mean + (0.5 * q.log_variance).exp() * batch["normal"]).detach()
    joint = vae.log_joint(networks["decoder"], x)
    noise = {"momenta": batch["momenta"].transpose(0, 1), "uniforms": batch["uniforms"].transpose(0, 1)}
    size = torch.full((2, 1), vae_settings.step_size / 2)
    rule = hmc.Adaptation(target=0.9)
    end = hmc.sample(joint, z, noise, step_size=size, leapfrog_steps=3, adapting=2, adaptation=rule).last
    expected = torch.autograd.grad(joint(end).sum(), list(networks["decoder"].parameters()))
    value = training.value(networks, batch)
    found = torch.autograd.grad(value.sum(), list(networks["decoder"].parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_memory_starts_from_the_common_mean_and_keeps_its_own() -> None:
    memory = RunningMeanPerDatum(1, 4)
    rows = {"rows": torch.tensor([[0, 2]])}
    assert memory.baseline(rows).tolist() == [[0.0, 0.0]]
    memory.update(rows, torch.tensor([[10.0, 20.0]]), None)
    assert float(memory.common) == 15.0
    torch.testing.assert_close(memory.own[0, [0, 2]], torch.tensor([0.9 * 15 + 1, 0.9 * 15 + 2]))
    assert memory.own[0, [1, 3]].isnan().all()
    later = {"rows": torch.tensor([[0, 1]])}
    torch.testing.assert_close(memory.baseline(later), torch.tensor([[14.5, 15.0]]))
    memory.update(later, torch.tensor([[14.5, 25.0]]), None)
    torch.testing.assert_close(memory.own[0, :2], torch.tensor([14.5, 16.0]))


def test_networks_have_the_documents_shapes(vae_settings: VaeTrain) -> None:
    shapes = {
        name: {key: network.sizes for key, network in first_step(vae_settings, name)[1].items()}
        for name in ("elbo", "uivi", "factorisation")
    }
    encoder, decoder = [784, 9, 8, 2], [2, 9, 8, 784]
    assert shapes["elbo"] == {"mean": encoder, "scale": encoder, "decoder": decoder}
    assert shapes["uivi"] == {"mean": [788, 9, 8, 2], "scale": [0, 2], "decoder": decoder}
    assert shapes["factorisation"]["decoder"] == [3, 784]


def test_the_semi_implicit_mean_sees_image_and_noise(vae_settings: VaeTrain) -> None:
    _, networks, batch = first_step(vae_settings, "uivi")
    x = pictures(40).view(2, 20, 784)
    q = posterior(networks, OF_VAE["uivi"], x)
    together = networks["mean"](torch.cat([x, batch["mixing"]], -1))
    torch.testing.assert_close(q.mean(batch["mixing"]), together, rtol=1e-4, atol=1e-5)
    assert q.log_scale.exp().unique().tolist() == pytest.approx([0.5])
    assert not q.detach().mean(batch["mixing"]).requires_grad


def test_streams_are_generators_of_the_images_device(vae_settings: VaeTrain) -> None:
    training, _, _ = first_step(vae_settings, "elbo")
    stream = partial(torch_generator, 0, "implicit.vae", "binarized_mnist", "noise", 0, device="cpu")
    assert torch.equal(torch.rand(3, generator=stream(2)), torch.rand(3, generator=training.streams[0](2)))
    assert training.state is None, "the ELBO carries nothing"
