"""Families against torch's own, harmoniums against sums over all, best posteriors against dense grids."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Multinomial, Normal, OneHotCategorical
from torch.nn import functional

from elbogap.inference import exponential_family as ef

SEEDS = st.integers(0, 2**31)
COUNTS = torch.tensor([[2.0, 0, 1], [0, 0, 1], [1, 3, 2]], dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_densities_are_torch_s_own(seed: int) -> None:
    natural = draw(seed, 5, 3)
    cases = [
        (ef.Gaussian(0.3), draw(seed + 1, 4, 3), Independent(Normal(natural, math.sqrt(0.3)), 1)),
        (ef.Binary(), ef.binary_codes(3), Independent(Bernoulli(logits=natural), 1)),
        (ef.Multinomial(), torch.eye(3, dtype=torch.float64), OneHotCategorical(logits=natural)),
    ]
    for family, x, torch_s in cases:
        torch.testing.assert_close(ef.pairwise_log_density(family, x, natural), torch_s.log_prob(x[:, None]))


def test_multinomial_has_its_base_measure_and_any_number_of_words() -> None:
    logits = draw(0, 4, 3)
    found = ef.pairwise_log_density(ef.Multinomial(), COUNTS, logits)
    for x, row in zip(COUNTS, found, strict=True):
        torch.testing.assert_close(row, Multinomial(int(x.sum()), logits=logits).log_prob(x.expand(4, 3)))


def test_spins_are_normalised_and_have_mean_tanh() -> None:
    spins, natural = ef.binary_codes(3, low=-1.0), draw(0, 1, 3)
    p = ef.pairwise_log_density(ef.Binary(-1.0), spins, natural).exp()
    torch.testing.assert_close(p.sum(0), ONE)
    torch.testing.assert_close(p.mT @ spins, natural.tanh())


def test_leading_axes_are_independent_members() -> None:
    x, natural = draw(0, 2, 4, 3), draw(1, 2, 5, 3)
    together = ef.pairwise_log_density(ef.Gaussian(1.0), x, natural)
    for member in range(2):
        torch.testing.assert_close(
            together[member], ef.pairwise_log_density(ef.Gaussian(1.0), x[member], natural[member])
        )


def test_codes_are_all_of_them_in_the_order_of_binary_numbers() -> None:
    assert ef.binary_codes(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert ef.binary_codes(3, low=-1.0).unique(dim=0).shape == (8, 3)


def test_an_encoder_on_the_bits_is_a_product_of_bernoullis() -> None:
    g, codes = draw(0, 4, 3), ef.binary_codes(3)
    expected = Independent(Bernoulli(logits=g[:, None]), 1).log_prob(codes)
    torch.testing.assert_close(ef.log_encoder(g, codes), expected)
    base = draw(1, 8)
    weighted = ef.log_encoder(g, codes, base)
    torch.testing.assert_close(weighted.logsumexp(-1).exp(), torch.ones(4, dtype=torch.float64))
    difference = weighted - expected - base
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference))


@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_the_bound_lacks_the_divergence(seed: int) -> None:
    log_joint, log_q = draw(seed, 6, 4), draw(seed + 1, 6, 4).log_softmax(-1)
    bound = ef.enumerated(log_joint, log_q)
    torch.testing.assert_close(bound.log_evidence, log_joint.exp().sum(-1).log())
    torch.testing.assert_close(bound.elbo, (log_q.exp() * (log_joint - log_q)).sum(-1))
    torch.testing.assert_close(bound.gap, bound.log_evidence - bound.elbo)
    assert (bound.gap > 0).all()
    tight = ef.enumerated(log_joint, bound.log_posterior)
    torch.testing.assert_close(tight.elbo, bound.log_evidence)


def test_the_bound_s_gradient_is_that_of_its_definition() -> None:
    log_joint, g, codes = draw(0, 3, 4).requires_grad_(), draw(1, 3, 2).requires_grad_(), ef.binary_codes(2)

    def gradients(value: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(value.sum(), (log_joint, g))

    log_q = ef.log_encoder(g, codes)
    found = gradients(ef.enumerated(log_joint, log_q).elbo)
    log_q = ef.log_encoder(g, codes)
    expected = gradients((log_q.exp() * (log_joint - log_q)).sum(-1))
    torch.testing.assert_close(found, expected)


def harmonium(family: ef.ExponentialFamily, observed: int, seed: int, low: float = 0.0) -> ef.Harmonium:
    codes = ef.binary_codes(2, low)
    parts = draw(seed, observed, 2), draw(seed + 1, observed), draw(seed + 2, 2), draw(seed + 3, 4)
    return ef.Harmonium(family, codes, *parts)


def counts(words: int, length: int) -> Tensor:
    grid = torch.cartesian_prod(*[torch.arange(length + 1)] * words)
    return grid[grid.sum(-1) == length].double()


@pytest.mark.parametrize("low", [0.0, -1.0])
@pytest.mark.parametrize(
    ("family", "x"),
    [
        (ef.Binary(), ef.binary_codes(3)),
        (ef.Binary(-1.0), ef.binary_codes(3, low=-1.0)),
        (ef.Multinomial(), torch.eye(3, dtype=torch.float64)),
        (ef.Multinomial(), counts(3, 4)),
    ],
    ids=["bernoulli", "spins", "categorical", "multinomial"],
)
def test_a_harmonium_sums_to_one_and_is_log_bilinear(
    family: ef.ExponentialFamily, x: Tensor, low: float
) -> None:
    model = harmonium(family, 3, 0, low)
    log_joint = model.log_joint(x)
    torch.testing.assert_close(log_joint.exp().sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(log_joint.exp().sum(0), model.log_prior(family.size(x))[0].exp())
    nu, psi = family.statistics(x), model.statistics
    bilinear = nu @ model.interaction @ psi.mT + (nu @ model.observed_bias)[:, None] + psi @ model.code_bias
    constant = log_joint - bilinear - family.log_base(x)[:, None] - model.log_base
    torch.testing.assert_close(constant, constant[:1, :1].expand_as(constant))


def test_a_gaussian_harmonium_integrates_to_one() -> None:
    model = harmonium(ef.Gaussian(0.5), 2, 4)
    axis = torch.arange(-12, 12, 0.2, dtype=torch.float64)
    mass = model.log_joint(torch.cartesian_prod(axis, axis)).exp().sum(0) * 0.04
    torch.testing.assert_close(mass, model.log_prior(ONE)[0].exp())
    torch.testing.assert_close(mass.sum(), torch.ones((), dtype=torch.float64))


@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_a_harmonium_s_posterior_is_its_affine_encoder(seed: int) -> None:
    for family, x in (
        (ef.Gaussian(0.5), draw(seed + 9, 6, 3)),
        (ef.Binary(), ef.binary_codes(3)),
        (ef.Multinomial(), COUNTS),
    ):
        model = harmonium(family, 3, seed)
        log_q = ef.log_encoder(model.encoder(x), model.statistics, model.log_base)
        bound = ef.enumerated(model.log_joint(x), log_q)
        torch.testing.assert_close(log_q, bound.log_posterior)
        torch.testing.assert_close(bound.gap, torch.zeros_like(bound.gap), atol=1e-12, rtol=0)


@given(SEEDS, st.sampled_from([0.5, 2.0, 6.0]))
@settings(deadline=None, max_examples=30)
def test_no_grid_of_two_bits_beats_the_best_factorised(seed: int, scale: float) -> None:
    bits = ef.binary_codes(2)
    log_joint = scale * draw(seed, 10, 4)
    axis = torch.linspace(-12, 12, 121, dtype=torch.float64)
    grid = ef.log_encoder(torch.cartesian_prod(axis, axis), bits)
    everywhere = (grid.exp() * (log_joint[:, None] - grid)).sum(-1).amax(1)
    elbo = ef.enumerated(log_joint, ef.best_factorised(log_joint, bits)).elbo
    assert (elbo >= everywhere - 1e-6).all()
    assert (elbo <= everywhere + 0.02).all()  # 0.2 between logits


def test_the_best_factorised_is_factorised_and_exact_where_the_posterior_is() -> None:
    bits = ef.binary_codes(3)
    log_q = ef.best_factorised(draw(0, 2, 5, 8), bits)
    assert log_q.shape == (2, 5, 8)
    marginal = log_q.exp() @ bits
    product = Independent(Bernoulli(probs=marginal.unsqueeze(-2)), 1).log_prob(bits)
    torch.testing.assert_close(log_q, product)
    factorised = functional.logsigmoid(draw(1, 5, 1, 3) * (2 * bits - 1)).sum(-1)
    torch.testing.assert_close(ef.best_factorised(factorised - 7.0, bits), factorised)
