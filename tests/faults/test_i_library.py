"""Kind I: what a user's own model passes to the library.

Promise: the library takes what a user would pass (numbers for step sizes, draws without an axis of points,
inputs without an axis of members, the transformations of `torch.func`), and says of anything else in one line
what is wrong and what to do; a log-density that fails inside a chain is a rejected proposal, and counted, but
a program's mistake ends the chain.
"""

import math
from collections.abc import Callable

import pytest
import torch
import zuko
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacrev, vmap

from elbogap import densities
from elbogap.errors import UserError
from elbogap.evaluation.iw_svi import estimate
from elbogap.inference import bounds, empirical, exact_importance, hmc, importance, prior_recovery
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.flow import Flow
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.refined import Refined
from elbogap.inference.families.semi_implicit import Implicit, SemiImplicit
from elbogap.inference.objectives.adversarial import DensityRatio
from elbogap.inference.objectives.elbo import ELBO, IWAE, ClosedFormELBO
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import ACTIVATIONS, MLP, Activation

INF = math.inf


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def gaussian(z: Tensor) -> Tensor:
    return -0.5 * z.square().sum(-1)


START = normal(6, 2)
NOISE = hmc.draw_noise(5, START, generator(1))


class Failing:
    """A Gaussian whose call number `at`, the first being that of the start, raises."""

    def __init__(self, error: Callable[[], object], at: int) -> None:
        self.error, self.at, self.calls = error, at, 0

    def __call__(self, z: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at + 1:
            self.error()
        return gaussian(z)


def not_definite() -> Tensor:
    return torch.linalg.cholesky(-torch.eye(2))


def no_deviation() -> object:
    return torch.distributions.Normal(0.0, torch.tensor(-1.0), validate_args=True)


def mismatch() -> Tensor:
    return torch.zeros(2) + torch.zeros(3)


def no_such_type() -> object:
    return len(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [not_definite, no_deviation, lambda: math.log(-1), lambda: math.exp(1e4), lambda: 1 / 0]
)
def test_a_log_density_that_does_not_exist_at_a_proposal_rejects_and_is_counted(
    error: Callable[[], object],
) -> None:
    """The eighth call is in the second of five iterations of five steps: its calls end there."""
    plain = hmc.sample(gaussian, START, NOISE, step_size=0.1)
    chains = hmc.sample(Failing(error, at=8), START, NOISE, step_size=0.1)
    assert (plain.undefined, chains.undefined) == (0, 1)
    assert chains.acceptance[1].tolist() == [0] * 6
    assert torch.equal(chains.draws[:1], plain.draws[:1])
    assert torch.equal(chains.draws[1], chains.draws[0])
    rest = {name: value[2:] for name, value in NOISE.items()}
    after = hmc.sample(gaussian, chains.draws[1], rest, step_size=0.1)
    torch.testing.assert_close(chains.draws[2:], after.draws)
    assert (after.acceptance > 0.5).all()


def test_rejections_for_that_reason_shorten_an_adapted_step() -> None:
    rule = hmc.Adaptation(0.8, 0.1)
    alone = {name: value[:1] for name, value in NOISE.items()}
    found = hmc.sample(
        Failing(not_definite, 3), START, alone, step_size=0.2, adapting=1, adaptation=rule
    ).step_size
    assert float(found) == pytest.approx(0.2 * 0.9)


def test_a_target_that_exists_on_a_half_line_only_stays_invariant() -> None:
    """The determinant of a matrix that is positive definite for z > 0: the density z^2 exp(-z)."""

    def log_gamma(z: Tensor) -> Tensor:
        root = torch.linalg.cholesky(z[..., None] * torch.eye(2, dtype=torch.float64))
        return 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - z.squeeze(-1)

    start = torch.tensor([3.0], dtype=torch.float64)
    chains = hmc.sample(log_gamma, start, hmc.draw_noise(200, start, generator(2)), step_size=1.2)
    assert chains.undefined > 10
    assert (chains.draws > 0).all()
    assert float(chains.draws.mean()) == pytest.approx(3, abs=0.8)


@pytest.mark.parametrize(("error", "kind"), [(mismatch, RuntimeError), (no_such_type, TypeError)])
def test_a_mistake_in_a_program_ends_a_chain(error: Callable[[], object], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        hmc.sample(Failing(error, at=8), START, NOISE, step_size=0.1)


@pytest.mark.parametrize("error", [not_definite, no_deviation, mismatch, no_such_type])
def test_at_the_start_of_a_chain_any_error_is_one_line_with_its_cause(error: Callable[[], object]) -> None:
    with pytest.raises(UserError, match=r"^the log-density fails at the start.*Error: \S") as caught:
        hmc.sample(Failing(error, at=0), START, NOISE, step_size=0.1)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_failures_of_the_machine_stay_what_they_are() -> None:
    def no_memory() -> object:
        raise MemoryError

    for at in (0, 8):
        with pytest.raises(MemoryError):
            hmc.sample(Failing(no_memory, at), START, NOISE, step_size=0.1)


FAMILY = SemiImplicit(lambda e: e, torch.zeros(2, dtype=torch.float64), 2)
OWN = {"mixing": START, "normal": normal(6, 2, seed=3), **NOISE}


def uivi(burn_in: int = 2, step_size: Tensor | float = 0.2) -> Tensor:
    return UIVI(hmc.Kernel(5, burn_in=burn_in), step_size).estimate(FAMILY, gaussian, OWN).surrogate


def test_step_sizes_may_be_numbers() -> None:
    tensor = torch.tensor(0.2, dtype=torch.float64)
    found, expected = (hmc.sample(gaussian, START, NOISE, step_size=h) for h in (0.2, tensor))
    assert torch.equal(found.draws, expected.draws)
    assert torch.equal(found.step_size, tensor)
    assert torch.equal(uivi(step_size=0.2), uivi(step_size=tensor))


def sampled(**changes: object) -> hmc.Chains:
    arguments = {"start": START, "noise": NOISE, "step_size": 0.1} | changes
    return hmc.sample(gaussian, **arguments)  # type: ignore[arg-type]


PLAIN = DiagonalGaussian(*torch.zeros(2, 2, dtype=torch.float64))
MIXTURE = GaussianMixture(torch.zeros(2).double(), torch.zeros(2, 2).double(), torch.ones(2, 2).double())
EMPTY = torch.empty(0, dtype=torch.float64)
NET, NETS = (MLP(members, [3, 4, 2], "tanh", generator(), dtype=torch.float64) for members in (1, 2))

AFFINE = AffineMean(
    MLP(1, [2, 4, 2], "tanh", generator(), dtype=torch.float64).layers(), torch.zeros(1, 1, 2).double(), 2
)

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "all iterations dropped": (lambda: uivi(burn_in=5), "burn_in=5 must be at least 0 and below .*=5"),
    "a negative burn-in": (lambda: uivi(burn_in=-1), "burn_in=-1"),
    "no noise": (lambda: ELBO().estimate(PLAIN, gaussian, {}), r"'normal' is missing \(given: none\)"),
    "noise of other dimensions": (
        lambda: ELBO().estimate(PLAIN, gaussian, {"normal": normal(6, 1)}),
        r"'normal' must have the shape \[..., 2\], not \[6, 1\]",
    ),
    "noise of other draws": (
        lambda: FAMILY.rsample(OWN | {"mixing": normal(5, 2)}),
        r"'mixing' must have the shape \[..., 6, 2\], not \[5, 2\]",
    ),
    "other noises of other draws": (
        lambda: FAMILY.log_prob(START, {"more": normal(3, 5, 2)}),
        r"'more' must have the shape \[..., 6, 2\], not \[3, 5, 2\]",
    ),
    "other noises without draws": (
        lambda: FAMILY.log_prob(START, {"more": normal(3, 2)}),
        r"'more' must have the shape \[..., \?, \?, 2\], not \[3, 2\]",
    ),
    "other noises of an affine mean that are not shared": (
        lambda: AFFINE.rsample_and_log_prob(
            {"mixing": normal(1, 6, 2), "normal": normal(1, 6, 2), "more": normal(1, 3, 6, 2)}
        ),
        r"'more' must have the shape \[..., 1, 2\], not \[1, 3, 6, 2\]",
    ),
    "chains of other iterations": (
        lambda: hmc.Kernel(4).run(gaussian, START, OWN, 0.1),
        r"'momenta' must have the shape \[..., 4, 6, 2\], not \[5, 6, 2\]",
    ),
    "an estimate of q without noise": (lambda: FAMILY.log_prob(START), "'more' is missing"),
    "draws of no multiple of the components": (
        lambda: MIXTURE.rsample({"normal": normal(5, 2)}),
        "5 draws of 2 components: take a multiple",
    ),
    "stratified draws along another axis": (
        lambda: IWAE().estimate(MIXTURE, gaussian, {"normal": normal(4, 6, 2)}),
        "draws lie along axis -3: give q draws_axis=-3",
    ),
    "doubly reparameterised stratified draws": (
        lambda: IWAE(True).estimate(MIXTURE, gaussian, {"normal": normal(4, 2)}),
        "take the plain one",
    ),
    "a divergence from a prior that is not standard normal": (
        lambda: ClosedFormELBO().estimate(PLAIN, gaussian, OWN),
        r"takes StandardNormalPrior\(log_likelihood\)",
    ),
    "a density ratio to another prior": (
        lambda: DensityRatio(gaussian).estimate(PLAIN, gaussian, OWN),
        r"takes StandardNormalPrior\(log_likelihood\)",
    ),
    "the density of an implicit q": (
        lambda: ELBO().estimate(Implicit(lambda e: e, 2), gaussian, OWN),
        "no density; maximise DensityRatio",
    ),
    "chains with a density that adapt": (
        lambda: Refined(PLAIN, gaussian, hmc.Kernel(5, adaptation=hmc.Adaptation()), 0.1),
        "chains that adapt have no density",
    ),
    "a flow that is none": (
        lambda: Flow(zuko.flows.GMM(2, components=2)).rsample(OWN),
        "takes a flow of zuko, such as NSF.*, not one of a Mixture",
    ),
    "no iteration": (
        lambda: sampled(noise={name: value[:0] for name, value in NOISE.items()}),
        "take 1 or more",
    ),
    "no leapfrog step": (lambda: sampled(leapfrog_steps=0), "0 leapfrog steps"),
    "a negative step": (lambda: sampled(step_size=-0.1), "must be positive, not -0.1"),
    "a step of NaN": (lambda: sampled(step_size=math.nan), "must be positive, not nan"),
    "steps of other chains": (
        lambda: sampled(step_size=torch.ones(3)),
        r"step sizes \[3\] do not broadcast against chains \[6\]",
    ),
    "noise of other chains": (
        lambda: sampled(start=START[:3]),
        r"chains from \[3, 2\] need momenta \[T, ..., D\].* not \[5, 6, 2\] and \[5, 6\]: hmc.draw_noise",
    ),
    "a log-density of all chains": (
        lambda: hmc.sample(lambda z: gaussian(z).sum(), START, NOISE, step_size=0.1),
        r"must be \[6\], not \[\]",
    ),
    "a log-density of no chain": (
        lambda: hmc.sample(lambda z: torch.zeros(6), START, NOISE, step_size=0.1),
        "does not require grad",
    ),
    "an estimate of no draws": (
        lambda: estimate(gaussian, PLAIN, samples=0, at_once=1, generator=generator()),
        "1 draw at least",
    ),
    "a number as log-weights": (lambda: bounds.iwae(torch.tensor(1.0)), r"\[..., S, B\] or \[S\], not \[\]"),
    "no draws": (lambda: bounds.elbo(EMPTY), r"not \[0\]"),
    "weights of other draws": (
        lambda: bounds.doubly_reparameterised_iwae(START, lambda z: z),
        r"draws \[6, 2\] need log-weights \[6\], not \[6, 2\]",
    ),
    "others without points": (
        lambda: importance.log_conditional(START[0], START[0], START[0]),
        r"\[..., k - 1, B\], not \[2\]",
    ),
    "others without batches": (
        lambda: importance.log_marginal(START[0], START[0], START),
        r"\[..., M, k - 1, B\], not \[6, 2\]",
    ),
    "no draw to choose": (
        lambda: importance.resample(normal(3, 2, 1), torch.tensor([[0.0, -INF]] * 3), generator()),
        "1 of 2 points have no weight above 0",
    ),
    "a NaN to choose": (
        lambda: importance.resample(normal(2, 1), torch.tensor([0.0, math.nan]), generator()),
        "1 of 1 points",
    ),
    "a variance of 0": (
        lambda: densities.isotropic_gaussian_log_density(START, START, 0.0),
        "must be positive and finite, not 0.0",
    ),
    "a variance that would have no derivative": (
        lambda: densities.pairwise_gaussian_log_density(START, START, torch.tensor(1.0)),  # type: ignore[arg-type]
        "not a tensor; for that, take gaussian_log_density",
    ),
    "the mean of nothing": (lambda: empirical.empiricalised_log_likelihood(EMPTY), "no mean of no terms"),
    "exact weights of 0": (
        lambda: exact_importance.weight_transform(torch.ones(2), torch.tensor([0.0, -INF])),
        "log-weights from -inf to 0 must be finite",
    ),
    "exact weights too far apart": (
        lambda: exact_importance.weight_transform(
            torch.ones(2).double(), torch.tensor([0.0, -1e3], dtype=torch.float64)
        ),
        "less than 706 nats apart",
    ),
    "codes that are all alike": (
        lambda: prior_recovery.whitened(prior_recovery.gaussian_copula(torch.ones(4))),
        "4 equal codes cannot be whitened",
    ),
    "inputs of another width": (
        lambda: NET(normal(5, 4)),
        r"1 members takes inputs \[..., 3\], not \[5, 4\]",
    ),
    "a number as input": (lambda: NET(torch.tensor(1.0)), r"not \[\]"),
    "inputs of no member": (
        lambda: NETS(normal(5, 3)),
        r"2 members takes inputs \[2, ..., 3\] or \[1, ..., 3\], not \[5, 3\]",
    ),
    "inputs of other members": (lambda: NETS(normal(3, 5, 3)), r"not \[3, 5, 3\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_said_in_one_line(name: str) -> None:
    use, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_draws_of_one_point_need_no_axis_of_points() -> None:
    log_w = normal(7)
    column = log_w[:, None]
    for function in (bounds.elbo, bounds.iwae, bounds.normalised_weights):
        torch.testing.assert_close(function(log_w), function(column)[..., 0])
    batch = importance.log_batch_conditional(log_w, log_w)
    torch.testing.assert_close(batch, importance.log_batch_conditional(column, column)[:, 0])
    draws = normal(7, 2, seed=1)
    single, first = (
        importance.resample(z, w, generator()) for z, w in ((draws, log_w), (draws[:, None], column))
    )
    assert torch.equal(single, first[0])
    z = draws.requires_grad_()
    found = bounds.doubly_reparameterised_iwae(z, gaussian)
    expected = bounds.doubly_reparameterised_iwae(z[:, None], gaussian)[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(bound, z)[0] for bound in (found, expected)))


def test_a_draw_that_can_be_chosen_is_chosen_whatever_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uniform draw of 0 is its rarest value: the noise of Gumbel's trick is infinite there."""
    monkeypatch.setattr(Tensor, "uniform_", lambda self, generator: self.zero_())
    chosen = importance.resample(torch.arange(3.0)[:, None], torch.tensor([-INF, -INF, 0.0]), generator())
    assert chosen.tolist() == [2]


@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 3), (4, 5, 3), (1, 5, 3), (1, 4, 5, 3), (0, 3)])
def test_a_single_network_needs_no_axis_of_members(shape: tuple[int, ...]) -> None:
    inputs = normal(*shape)
    found = NET(inputs)
    assert found.shape == (*shape[:-1], 2)
    expected = NET(inputs.reshape(1, math.prod(shape[:-1]), 3)).reshape(*shape[:-1], 2)
    torch.testing.assert_close(found, expected)


def test_members_need_no_axis_of_rows() -> None:
    inputs = normal(2, 3)
    torch.testing.assert_close(NETS(inputs), NETS(inputs[:, None])[:, 0])
    torch.testing.assert_close(NETS(inputs[:1]), NETS(inputs[:1, None])[:, 0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("members", [1, 3])
def test_networks_have_all_derivatives_by_torch_func(activation: Activation, members: int) -> None:
    network = MLP(members, [3, 9, 4, 2], activation, generator(), dtype=torch.float64)
    parameters, inputs = dict(network.named_parameters()), normal(members, 5, 3)

    def loss(parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return functional_call(network, parameters, (inputs,)).square().sum()

    found = grad(loss)(parameters, inputs)
    expected = torch.autograd.grad(network(inputs).square().sum(), list(parameters.values()))
    for ours, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    several = normal(4, members, 5, 3, seed=1)
    each = vmap(grad(loss, argnums=1), (None, 0))(parameters, several)
    torch.testing.assert_close(each[2], grad(loss, argnums=1)(parameters, several[2]))
    second = hessian(lambda x: loss(parameters, x))(inputs)
    torch.testing.assert_close(second, jacrev(jacrev(lambda x: loss(parameters, x)))(inputs))
    step = 1e-5 * normal(members, 5, 3, seed=2)
    slopes = (grad(loss, argnums=1)(parameters, inputs + sign * step) for sign in (1, -1))
    difference = torch.sub(*slopes) / 2
    torch.testing.assert_close((second * step).sum((-3, -2, -1)), difference, atol=1e-8, rtol=1e-3)


def test_second_derivatives_by_autograd_name_the_way_to_have_them() -> None:
    inputs = normal(5, 3).requires_grad_()
    with pytest.raises(RuntimeError, match=r"torch\.func\.hessian"):
        torch.autograd.grad(NET(inputs).sum(), inputs, create_graph=True)


X, Y = normal(20, 3, seed=4), (normal(20, seed=5) > 0).double()


def log_joint(w: Tensor) -> Tensor:
    """Logistic regression."""
    return densities.bernoulli_log_likelihood(Y, w @ X.T) + densities.standard_gaussian_log_density(w)


def test_a_posterior_has_a_gradient_and_a_hessian_by_torch_func_and_by_autograd() -> None:
    w = normal(3)
    share = (w @ X.T).sigmoid()
    slope, curvature = (Y - share) @ X - w, -(X.T * share * (1 - share)) @ X - torch.eye(3)
    torch.testing.assert_close(grad(log_joint)(w), slope)
    torch.testing.assert_close(vmap(grad(log_joint))(torch.stack([w, w + 1]))[0], slope)
    torch.testing.assert_close(vmap(log_joint)(torch.stack([w, w + 1])), log_joint(torch.stack([w, w + 1])))
    torch.testing.assert_close(hessian(log_joint)(w), curvature)
    torch.testing.assert_close(torch.autograd.functional.hessian(log_joint, w), curvature)


A, B = normal(5, 2, seed=6), normal(3, 2, seed=7)


def doubly(scale: Tensor) -> Tensor:
    return bounds.doubly_reparameterised_iwae(scale.exp() * A.unsqueeze(-1), gaussian).sum()


UNDER_TRANSFORMATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "iwae": lambda s: bounds.iwae(s * A).sum(),
    "normalised weights": lambda s: bounds.normalised_weights(s * A)[0].sum(),
    "doubly reparameterised": doubly,
    "pairs": lambda s: densities.pairwise_gaussian_log_density(s * A, B, 0.3).sum(),
    "gaussian": lambda s: densities.gaussian_log_density(s * A, A[0], s.expand(2)).sum(),
}


@pytest.mark.parametrize("name", UNDER_TRANSFORMATIONS)
def test_bounds_and_densities_have_the_same_gradient_by_torch_func(name: str) -> None:
    function = UNDER_TRANSFORMATIONS[name]
    scales = torch.tensor([0.3, 0.9], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(function(scales[0]) + function(scales[1]), scales)
    torch.testing.assert_close(vmap(grad(function))(scales.detach()), expected)
    if name != "doubly reparameterised":  # an estimate of the gradient is no function's gradient
        plain = torch.autograd.functional.hessian(function, scales[0])
        torch.testing.assert_close(hessian(function)(scales[0].detach()), plain)
