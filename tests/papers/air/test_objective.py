"""The objectives against formulas written out with torch's own distributions, in float64."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from elbogap.ensemble import Batch, Variational, continued_minibatches
from elbogap.errors import UserError
from elbogap.inference import noise
from elbogap.inference.objectives.base import Estimate
from elbogap.inference.objectives.denoising import Denoising
from elbogap.inference.objectives.elbo import IWAE, ClosedFormELBO
from elbogap.models.image_vae import bounds, log_joint, posterior
from elbogap.nn.mlp import MLP
from elbogap.papers.air.methods import Method
from elbogap.papers.air.settings import Train
from elbogap.papers.air.training import Training
from elbogap.runtime import torch_generator

PIXELS, LATENT, IMAGES, BATCH, STEPS = 6, 2, 11, 4, 3
SEEDS, SIGMAS = [0, 0, 1], [0.3, 0.9, 0.3]
Objective = Callable[..., Variational]
SHAPES = [(1, 1), (4, 1), (1, 3), (2, 3)]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Strengths are of the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(2, (IMAGES, PIXELS), generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def objective(images: Tensor, train_settings: Train) -> Objective:
    """The objective on the images."""
    settings = train_settings.model_copy(update={"batch": BATCH, "latent": LATENT, "round_steps": STEPS})

    def make(alpha: float, k: int = 1, m: int = 1, sigmas: list[float] = SIGMAS) -> Variational:
        cell = settings.cells["all"].model_copy(update={"k": k, "m": m})
        method, members = Method("denoising", alpha, ()), list(zip(SEEDS, sigmas, strict=True))
        return Training(settings, "omniglot", cell, method, members).objective(images)

    return make


def networks(members: int = 3) -> dict[str, MLP]:
    random = torch.Generator().manual_seed(1)
    return {
        name: MLP(members, sizes, "tanh", random, dtype=torch.float64)
        for name, sizes in {"encoder": [PIXELS, 5, 2 * LATENT], "decoder": [LATENT, 5, PIXELS]}.items()
    }


def at(prepared: Batch, step: int) -> dict[str, Tensor]:
    return {name: values[:, step] for name, values in prepared.items()}


def leaves(network: MLP, member: int) -> list[Tensor]:
    """Weight and bias of each layer of one member, which want gradients."""
    layers = chain(*zip(network.weights, network.biases, strict=True))
    return [one[member].detach().clone().requires_grad_() for one in layers]


def apply(layers: list[Tensor], row: Tensor) -> Tensor:
    for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        row = torch.tanh(row @ weight + bias[0])
    return row @ layers[-2] + layers[-1][0]


def of_image(encoder: list[Tensor], decoder: list[Tensor], x: Tensor, seen: Tensor, noises: Tensor) -> Tensor:
    """L_k of one image by eq. 5 and 20: the encoder sees `seen`, and `noises` `[k, L]` place the draws."""
    mean, log_variance = apply(encoder, seen).chunk(2)
    q, prior = Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(LATENT), torch.ones(LATENT))
    log_weights = []
    for normal in noises:
        z = q.loc + q.scale * normal
        log_likelihood = Bernoulli(logits=apply(decoder, z)).log_prob(x).sum()
        if len(noises) == 1:
            return log_likelihood - kl_divergence(q, prior).sum()
        log_weights.append(log_likelihood + prior.log_prob(z).sum() - q.log_prob(z).sum())
    return torch.stack(log_weights).exp().mean().log()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("k", "m"), SHAPES)
def test_values_and_gradients_are_those_of_the_bounds_by_hand(
    images: Tensor, objective: Objective, alpha: float, k: int, m: int
) -> None:
    nets, whole = networks(), objective(alpha, k, m)
    batch = at(whole.prepare(2), 1)
    values = whole.value(nets, batch)
    values.sum().backward()
    for member, (seed, sigma) in enumerate(zip(SEEDS, SIGMAS, strict=True)):
        encoder, decoder = (leaves(nets[name], member) for name in ("encoder", "decoder"))
        expected = torch.zeros(())
        for b, row in enumerate(batch["rows"][seed]):
            x = images[row]
            weights = [weight for weight in (alpha, 1 - alpha) if weight > 0]
            for copy in range(m):
                views = [x + sigma * batch["input"][seed, copy, b]] if alpha > 0 else []
                views += [x] if alpha < 1 else []
                for view, (weight, seen) in enumerate(zip(weights, views, strict=True)):
                    noises = batch["normal"][seed, view, copy, :, b]
                    expected = expected + weight * of_image(encoder, decoder, x, seen, noises) / m / BATCH
        torch.testing.assert_close(values[member], expected)
        expected.backward()
        for name, mine in (("encoder", encoder), ("decoder", decoder)):
            ours = list(chain(*zip(nets[name].weights, nets[name].biases, strict=True)))
            for left, right in zip(ours, mine, strict=True):
                torch.testing.assert_close(left.grad[member], right.grad)


@pytest.mark.parametrize(("k", "m"), SHAPES)
def test_denoising_without_noise_is_the_plain_objective(objective: Objective, k: int, m: int) -> None:
    nets = networks()
    plain = objective(0.0, k, m)
    expected = plain.value(nets, at(plain.prepare(1), 0))
    differences = []
    for sigma in (0.0, 1e-6, 1e-3, 1.0):
        denoising = objective(1.0, k, m, [sigma] * 3)
        found = denoising.value(nets, at(denoising.prepare(1), 0))
        differences.append((found - expected).abs().max().item())
    assert differences[0] < 1e-13
    assert 0 < differences[1] < 1e-5
    assert differences[2] == pytest.approx(1000 * differences[1], rel=0.05)  # it vanishes like sigma
    assert differences[3] > 1e-2


@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.99])
def test_between_them_lies_the_convex_combination_with_the_same_draws(
    objective: Objective, alpha: float
) -> None:
    nets, mixed = networks(), objective(alpha, 2)
    batch = at(mixed.prepare(0), 0)
    noisy, clean = (batch | {"normal": batch["normal"][:, [view]]} for view in range(2))
    expected = alpha * objective(1.0, 2).value(nets, noisy)
    expected += (1 - alpha) * objective(0.0, 2).value(nets, clean)
    torch.testing.assert_close(mixed.value(nets, batch), expected)
    assert not torch.equal(batch["normal"][:, 0], batch["normal"][:, 1])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 3])
def test_several_copies_are_the_mean_of_as_many_separate_bounds(
    objective: Objective, alpha: float, k: int
) -> None:
    m, nets = 4, networks()
    together = objective(alpha, k, m)
    batch = at(together.prepare(0), 2)
    one = objective(alpha, k)
    axes = {"normal": 2, "input": 1}
    apart = [
        one.value(
            nets,
            batch
            | {
                name: batch[name][(slice(None),) * axis + ([copy],)]
                for name, axis in axes.items()
                if name in batch
            },
        )
        for copy in range(m)
    ]
    torch.testing.assert_close(together.value(nets, batch), torch.stack(apart).mean(0))
    assert (apart[0] - apart[1]).abs().min() > 0


@pytest.mark.parametrize("bound", [ClosedFormELBO(), IWAE()])
@pytest.mark.parametrize(("alpha", "weights"), [(0.0, [1.0]), (0.3, [0.3, 0.7]), (1.0, [1.0])])
def test_denoising_keeps_the_contract_of_objectives(
    images: Tensor, alpha: float, weights: list[float], bound: ClosedFormELBO | IWAE
) -> None:
    """A value for each view with its weight, alike for a member alone; wrong noise is refused."""
    nets, x, denoising = networks(), images[:BATCH], Denoising(bound, alpha, PIXELS)
    specs = denoising.noise(2, BATCH, dimensions=LATENT)
    drawn = noise.draw(specs, torch.Generator().manual_seed(0), 3, dtype=torch.float64)

    def estimate(drawn: dict[str, Tensor], members: Sequence[int] = range(3)) -> Estimate:
        own = {name: net.select(members) for name, net in nets.items()}
        seen = denoising.views(x.expand(len(members), -1, -1), torch.tensor(SIGMAS)[list(members)], drawn)
        q = posterior(own["encoder"], seen[:, :, None])
        return denoising.estimate(q, log_joint(own["decoder"], x), drawn)

    found = estimate(drawn)
    assert found.value.shape == found.surrogate.shape == (3, len(weights))
    assert not found.value.requires_grad
    assert found.weights is not None
    assert found.weights.tolist() == pytest.approx(weights)
    for member in range(3):
        alone = estimate({name: value[[member]] for name, value in drawn.items()}, [member])
        torch.testing.assert_close(alone.mean()[0], found.mean()[member])
    for name, value in drawn.items():
        for wrong in ({}, {name: torch.cat([value, value[..., -1:]], -1)}):
            others = {other: kept for other, kept in drawn.items() if other != name}
            with pytest.raises(UserError, match=f"the noise '{name}'"):
                estimate(others | wrong)


@given(images=st.integers(1, 30), steps=st.integers(1, 9), data=st.data())
def test_each_pass_sees_each_image_once_and_rounds_go_on_with_it(
    images: int, steps: int, data: st.DataObject
) -> None:
    batch = data.draw(st.integers(1, images))
    per_pass = images // batch
    rounds = math.ceil(3 * per_pass / steps)
    prepared = [continued_minibatches(images, batch, steps, order, number) for number in range(rounds)]
    assert all(rows.shape == (steps, batch) for rows in prepared)
    for rows in torch.cat(prepared)[: 3 * per_pass].unflatten(0, (3, per_pass)):
        seen = rows.flatten().tolist()
        assert len(set(seen)) == per_pass * batch
        assert set(seen) <= set(range(images))


def order(number: int) -> torch.Generator:
    return torch_generator(0, "order", number)


def test_passes_have_orders_of_their_own() -> None:
    orders = continued_minibatches(IMAGES, 1, 3 * IMAGES, order, 0).view(3, IMAGES)
    assert len({tuple(rows.tolist()) for rows in orders}) == 3


def test_a_round_depends_on_its_number_and_seed_alone(objective: Objective) -> None:
    weak, strong = (objective(1.0, sigmas=[sigma] * 3) for sigma in (0.1, 3.0))
    first, other, again = weak.prepare(0), weak.prepare(1), strong.prepare(0)
    for name in ("rows", "normal", "input"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
        assert not torch.equal(first[name][0], first[name][1])


def test_members_of_equal_seed_share_minibatches_and_noise(objective: Objective) -> None:
    one = networks(1)
    same = {name: MLP.joined([net] * 3) for name, net in one.items()}
    equal = objective(0.5, 3, 2, [0.7] * 3)
    values = equal.value(same, at(equal.prepare(0), 1))
    torch.testing.assert_close(values[0], values[1], rtol=1e-14, atol=1e-14)
    assert (values[2] - values[0]).abs() > 1e-3
    scaled = objective(0.5, 3, 2, [0.7, 1.4, 0.7])
    changed = scaled.value(same, at(scaled.prepare(0), 1))
    torch.testing.assert_close(changed[[0, 2]], values[[0, 2]], rtol=1e-14, atol=1e-14)
    assert (changed[1] - values[1]).abs() > 1e-3


@pytest.mark.parametrize(("alpha", "views"), [(0.0, 1), (0.5, 2), (1.0, 1)])
def test_noise_is_drawn_only_where_it_is_needed(objective: Objective, alpha: float, views: int) -> None:
    k, m = 3, 2
    prepared = objective(alpha, k, m).prepare(0)
    assert prepared["rows"].shape == (2, STEPS, BATCH)
    assert prepared["normal"].shape == (2, STEPS, views, m, k, BATCH, LATENT)
    assert ("input" in prepared) == (alpha > 0)
    if alpha > 0:
        assert prepared["input"].shape == (2, STEPS, m, BATCH, PIXELS)


def test_the_measured_bounds_are_those_of_clean_inputs_by_hand(images: Tensor) -> None:
    nets, k, draws = networks(), 3, 2
    random = torch.Generator().manual_seed(5)
    found = bounds(nets, images, k=k, draws=draws, rows=4 * k, generator=random)
    random.manual_seed(5)
    shape = (k, len(images), LATENT)
    noises = [torch.randn(shape, generator=random, dtype=torch.float32).double() for _ in range(draws)]
    for member in range(3):
        encoder, decoder = (leaves(nets[name], member) for name in ("encoder", "decoder"))
        for i, x in enumerate(images):
            each = [of_image(encoder, decoder, x, x, noises[draw][:, i]) for draw in range(draws)]
            torch.testing.assert_close(found[member, i], torch.stack(each).mean().detach())


def test_more_samples_give_tighter_bounds_below_the_likelihood(images: Tensor) -> None:
    """L_1 <= L_8 <= log p(x) in expectation; log p(x) by a grid over the two latent dimensions."""
    nets = networks()
    axis = torch.linspace(-7, 7, 141)
    grid = torch.cartesian_prod(axis, axis)
    log_prior = Normal(0.0, 1.0).log_prob(grid).sum(-1) + 2 * math.log(axis[1] - axis[0])
    logits = nets["decoder"](grid[None].expand(3, -1, -1)).detach()
    log_likelihood = Bernoulli(logits=logits[:, :, None]).log_prob(images).sum(-1)
    exact = torch.logsumexp(log_likelihood + log_prior[:, None], 1)
    loose, tight = (
        bounds(nets, images, k=k, draws=400, rows=10**6, generator=torch.Generator().manual_seed(0))
        for k in (1, 8)
    )
    assert (loose.mean(1) < tight.mean(1)).all()
    assert (tight.mean(1) < exact.mean(1)).all()
    assert (exact - tight).mean(1).max() < 0.05 < (exact - loose).mean(1).min()


def test_the_gradient_of_the_elbo_with_one_sample_has_the_divergence_in_closed_form(images: Tensor) -> None:
    """With a decoder that ignores z only the divergence depends on the encoder, without any noise."""
    nets = networks()
    with torch.no_grad():
        nets["decoder"].weights[-1].zero_()
    q = posterior(nets["encoder"], images[None, None])
    kl = kl_divergence(Normal(q.mean, (q.log_variance / 2).exp()), Normal(0.0, 1.0)).sum()
    expected = torch.autograd.grad(-kl, list(nets["encoder"].parameters()))
    for seed in range(2):
        normal = torch.randn(3, 1, IMAGES, LATENT, generator=torch.Generator().manual_seed(seed))
        q, joint = posterior(nets["encoder"], images[None, None]), log_joint(nets["decoder"], images)
        value = ClosedFormELBO().estimate(q, joint, {"normal": normal}).surrogate.sum()
        found = torch.autograd.grad(value, list(nets["encoder"].parameters()))
        for left, right in zip(found, expected, strict=True):
            torch.testing.assert_close(left, right)
