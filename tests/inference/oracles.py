"""Families and objectives with fixed parameters, and what they should give, by quadrature in float64.

Parameters have the axes `[*lead, ...]`, where lead is that of members or nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import zuko
from torch import Tensor, nn

from elbogap.densities import gaussian_log_density, standard_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.families.flow import Flow
from elbogap.inference.families.gaussian import DiagonalGaussian, FullRankGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.families.refined import Refined
from elbogap.inference.families.resampled import Resampled
from elbogap.inference.families.semi_implicit import Implicit, SemiImplicit
from elbogap.inference.noise import Specs
from elbogap.inference.objectives.adversarial import Classification, DensityRatio
from elbogap.inference.objectives.base import Objective, StandardNormalPrior
from elbogap.inference.objectives.codes import ARM, REINFORCE, DisARM
from elbogap.inference.objectives.contrastive import VCD, Hoffman
from elbogap.inference.objectives.elbo import ELBO, IWAE, SIVI, ClosedFormELBO
from elbogap.inference.objectives.mapa import MAPA, Uniform
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import Layers

Parameters = Mapping[str, Tensor]


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draws_axis(parameter: Tensor, axes: int = 1) -> Tensor:
    """`[*lead, D]` to broadcast against draws `[*lead, S, D]`, or `[*lead, S, B, D]`."""
    return parameter.view(*parameter.shape[:-1], *[1] * axes, parameter.shape[-1])


# Quadrature


def grid(dimensions: int, bound: float = 9.0, spacing: float = 0.06) -> tuple[Tensor, float]:
    """Nodes `[N, D]` of the trapezoidal rule, and the volume of a cell."""
    axis = torch.linspace(-bound, bound, 1 + round(2 * bound / spacing), dtype=torch.float64)
    step = float(axis[1] - axis[0])
    return torch.cartesian_prod(*[axis] * dimensions).view(-1, dimensions), step**dimensions


def standard(dimensions: int, spacing: float) -> tuple[Tensor, Tensor]:
    """Nodes `[N, D]` and weights `[N]` of expectations under N(0, I)."""
    nodes, _ = grid(dimensions, 7.0, spacing)
    return nodes, standard_gaussian_log_density(nodes).softmax(0)


def all_codes(length: int) -> Tensor:
    return torch.cartesian_prod(*[tensor(0.0, 1.0)] * length)


def mixed(q: SemiImplicit) -> LogJoint:
    """log q of a semi-implicit q with one noise, `[..., D]` to `[...]`."""
    e, weights = standard(1, 0.02)

    def log_density(z: Tensor) -> Tensor:
        conditional = gaussian_log_density(z.unsqueeze(-2), q.mean(e), 2 * q.log_scale)
        return torch.logsumexp(conditional + weights.log(), -1)

    return log_density


def resampled(q: Resampled) -> LogJoint:
    """log q_IW(z) = log q(z) + log E 3 w(z) / (w(z) + w(z_2) + w(z_3)) for k = 3 on the line."""
    nodes, cell = grid(1, 8.0, 0.1)
    proposal = DiagonalGaussian(q.proposal.mean.flatten(), q.proposal.log_variance.flatten())
    log_q = proposal.log_prob(nodes)
    weight, mass = (q.log_joint(nodes) - log_q).exp(), log_q.exp() * cell

    def log_density(z: Tensor) -> Tensor:
        own = (q.log_joint(z) - proposal.log_prob(z)).exp()[..., None, None]
        share = 3 * own / (own + weight[:, None] + weight)
        return proposal.log_prob(z) + (share @ mass @ mass).log()

    return log_density


def transition(log_joint: LogJoint, z: Tensor, step: float) -> Tensor:
    """One iteration of HMC with one leapfrog step on the line, applied to the values `[G]` of a density.

    z_0 goes to z = z_0 + d v + d^2 l'(z_0) / 2 for the momentum v, so z has the density N(v) / d times the
    probability of acceptance, and z_0 stays with the rest. This does not presume that it is reversible.
    """
    leaf = z.clone().requires_grad_()
    value = log_joint(leaf)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    value, slope, z = value.detach(), slope.squeeze(-1), z.squeeze(-1)
    v = (z[:, None] - z) / step - step / 2 * slope  # from column to row
    end = v + step / 2 * (slope + slope[:, None])
    change = value[:, None] - value + 0.5 * (v.square() - end.square())
    moving = standard_gaussian_log_density(v.unsqueeze(-1)).exp() / step * change.clamp(max=0).exp()
    moving = moving * (z[1] - z[0])
    return moving + torch.diag(1 - moving.sum(0))


# Targets


def on_the_line(z: Tensor) -> Tensor:
    """Two modes."""
    z = z.squeeze(-1)
    return torch.logaddexp(-2 * (z - 1).square(), -0.5 * (z + 1).square()) + 0.3


def on_the_plane(z: Tensor) -> Tensor:
    """Curved."""
    first, second = z.unbind(-1)
    return -0.5 * first.square() - (second - 0.4 * first.square()).square()


@dataclass(frozen=True)
class Shifted:
    """A model on the line that learns; `shift` is `[*lead, 1]`."""

    shift: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return on_the_line(z - draws_axis(self.shift, z.ndim - self.shift.ndim))

    def detach(self) -> "Shifted":
        return Shifted(self.shift.detach())


# Families


@dataclass(frozen=True)
class Curved:
    """mu(e) = a e + b tanh(2 e), with a and b `[*lead, D]`."""

    slope: Tensor
    bend: Tensor

    def __call__(self, e: Tensor) -> Tensor:
        a, b = (draws_axis(one, e.ndim - one.ndim) for one in (self.slope, self.bend))
        return a * e + b * torch.tanh(2 * e)

    def detach(self) -> "Curved":
        return Curved(self.slope.detach(), self.bend.detach())


@dataclass(frozen=True)
class FamilyCase:
    """A family.

    Attributes:
        dimensions: D.
        parameters: of a single q, whatever the axes of members.
        make: q of parameters with leading axes.
        density: log q by quadrature, where `log_prob` is an estimate.
        shared: parameters that all members share.
        alone: whether a single q has draws `[S, D]`; otherwise `[1, S, D]`.
        support: all values that draws can have, if they are finitely many.
    """

    dimensions: int
    parameters: Parameters
    make: Callable[[Parameters], Family]
    density: Callable[[Any], LogJoint] | None = None
    shared: nn.Module = field(default_factory=nn.Module)
    alone: bool = True
    support: Tensor | None = None

    def members(self, count: int = 3) -> dict[str, Tensor]:
        """Different parameters for each, `[M, ...]`."""
        return {
            name: torch.stack(
                [value + 0.1 * i * torch.ones_like(value).cumsum(-1).sin() for i in range(count)]
            )
            for name, value in self.parameters.items()
        }

    def single(self, parameters: Parameters, member: int) -> dict[str, Tensor]:
        """Those of one member."""
        chosen = member if self.alone else slice(member, member + 1)
        return {name: value[chosen] for name, value in parameters.items()}

    def q(self) -> Family:
        """A single one."""
        return self.make(self.single({name: value[None] for name, value in self.parameters.items()}, 0))

    def log_density(self) -> LogJoint:
        """The exact log q."""
        q = self.q()
        return q.log_prob if self.density is None else self.density(q)


def gaussian(p: Parameters) -> DiagonalGaussian:
    return DiagonalGaussian(draws_axis(p["mean"]), draws_axis(p["log_variance"]))


def full_rank(p: Parameters) -> FullRankGaussian:
    lower = p["scale"].tril(-1) + torch.diag_embed(p["scale"].diagonal(dim1=-2, dim2=-1).exp())
    return FullRankGaussian(draws_axis(p["mean"]), lower.unsqueeze(-3))


def mixture(p: Parameters) -> GaussianMixture:
    return GaussianMixture(p["logits"].log_softmax(-1), p["mean"], p["scale"])


def semi_implicit(p: Parameters, num_mixing: int = 2) -> SemiImplicit:
    return SemiImplicit(Curved(p["slope"], p["bend"]), draws_axis(p["log_scale"]), 1, num_mixing)


def affine_mean(p: Parameters, num_mixing: int = 2) -> AffineMean:
    layers = Layers([p["weight0"], p["weight1"]], [p["bias0"], p["bias1"]], "tanh")
    return AffineMean(layers, p["log_scale"], 1, num_mixing)


def bernoulli(p: Parameters) -> BernoulliCodes:
    return BernoulliCodes(draws_axis(p["logits"]))


def proposal(p: Parameters, k: int) -> Proposal:
    return Proposal.prepare(p["logits"].log_softmax(-1), k, torch.Generator().manual_seed(0))


def implicit(p: Parameters) -> Implicit:
    return Implicit(Curved(p["slope"], p["bend"]), 1)


STEP = 0.8


def refined(p: Parameters) -> Refined:
    return Refined(gaussian(p), on_the_line, hmc.Kernel(2, leapfrog_steps=1), STEP, num_chains=2)


def after_two_iterations(q: Refined) -> LogJoint:
    """log q_2 at nodes of the grid, by the iterations themselves."""
    z, _ = grid(1, 8.0, 0.01)
    density = q.initial.log_prob(z).exp()
    kernel = transition(on_the_line, z, STEP)
    log_density = (kernel @ (kernel @ density)).log()

    def at(points: Tensor) -> Tensor:
        nearest = ((points.squeeze(-1) + 8) / 0.01).round().long().clamp(0, len(z) - 1)
        return log_density[nearest]

    return at


def iw(p: Parameters) -> Resampled:
    q = DiagonalGaussian(draws_axis(p["mean"], 2), draws_axis(p["log_variance"], 2))
    return Resampled(q, on_the_line, num_proposals=3, num_batches=2)


def network(dimensions: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = zuko.flows.MAF(
            features=dimensions, context=1, transforms=2, hidden_features=(6,), activation=nn.Tanh
        )
    return flow.double()


def of_flow(flow: nn.Module, p: Parameters) -> Flow:
    return Flow(flow, draws_axis(p["context"]))


LINE = {"mean": tensor(0.4), "log_variance": tensor(-0.8)}
PLANE = {"mean": tensor(0.4, -0.7), "log_variance": tensor(-0.8, 0.5)}
CURVED = {"slope": tensor(0.7), "bend": tensor(1.1), "log_scale": tensor(-0.7)}
CURVED_PLANE = {"slope": tensor(0.7, -0.9), "bend": tensor(1.1, 0.2), "log_scale": tensor(-0.7, -0.5)}
MIXTURE = {
    "logits": tensor(0.3, -0.4),
    "mean": tensor([-1.0], [1.8]),
    "scale": tensor([0.6], [-0.9]),
}
MIXTURE_PLANE = {
    "logits": tensor(0.3, -0.4),
    "mean": tensor([-1.0, 0.5], [1.2, 0.3]),
    "scale": tensor([0.6, 0.8], [-0.9, 0.7]),
}
NETWORK = {
    "weight0": tensor([1.0, -2.0, 0.7]),
    "bias0": tensor([0.2, 0.1, -0.5]),
    "weight1": tensor([0.9, -0.4], [-0.6, 0.7], [1.0, 0.5]),
    "bias1": tensor([0.2, -0.3]),
    "log_scale": tensor([-0.6, -0.4]),
}
FLOWS = {dimensions: network(dimensions) for dimensions in (1, 2)}

FAMILIES: dict[str, FamilyCase] = {
    "DiagonalGaussian, 1": FamilyCase(1, LINE, gaussian),
    "DiagonalGaussian, 2": FamilyCase(2, PLANE, gaussian),
    "FullRankGaussian, 1": FamilyCase(1, {"mean": tensor(0.4), "scale": tensor([-0.3])}, full_rank),
    "FullRankGaussian, 2": FamilyCase(
        2, {"mean": tensor(0.4, -0.7), "scale": tensor([-0.3, 0.0], [0.6, -0.5])}, full_rank
    ),
    "GaussianMixture, 1": FamilyCase(1, MIXTURE, mixture),
    "GaussianMixture, 2": FamilyCase(2, MIXTURE_PLANE, mixture),
    "Flow, 1": FamilyCase(1, {"context": tensor(0.3)}, partial(of_flow, FLOWS[1]), shared=FLOWS[1]),
    "Flow, 2": FamilyCase(2, {"context": tensor(0.3)}, partial(of_flow, FLOWS[2]), shared=FLOWS[2]),
    "SemiImplicit, 1": FamilyCase(1, CURVED, semi_implicit, mixed),
    "SemiImplicit, 2": FamilyCase(2, CURVED_PLANE, semi_implicit, mixed),
    "AffineMean, 2": FamilyCase(2, NETWORK, affine_mean, mixed, alone=False),
    "Resampled, 1": FamilyCase(1, LINE, iw, resampled),
    "Refined, 1": FamilyCase(1, LINE, refined, after_two_iterations),
    "BernoulliCodes, 3": FamilyCase(3, {"logits": tensor(0.8, -0.5, 0.1)}, bernoulli, support=all_codes(3)),
    "Proposal, 1": FamilyCase(
        1, {"logits": tensor(0.8, -0.5, 0.1)}, partial(proposal, k=0), support=torch.arange(3)[:, None]
    ),
    "Implicit, 2": FamilyCase(2, {"slope": tensor(0.7, -0.9), "bend": tensor(1.1, 0.2)}, implicit),
}


# Objectives


@dataclass(frozen=True)
class ObjectiveCase:
    """An objective with a family and a log-joint.

    Attributes:
        parameters: of a single q, and of the model.
        family: q of parameters with leading axes.
        log_joint: log p(x, z) of them.
        objective: of them; only a discriminator has any.
        exact: the mean of the value, of the parameters of a single q.
        gradient_of: what has the exact gradient, where it is not `exact`.
        dimensions: of the noise `normal`.
        mixing: E.
        samples: the draws of each observation that one value combines, if any.
    """

    parameters: Parameters
    family: Callable[[Parameters], Family]
    log_joint: Callable[[Parameters], LogJoint]
    objective: Callable[[Parameters], Objective[Any]]
    exact: Callable[[Parameters], Tensor]
    gradient_of: Callable[[Parameters], Tensor] | None = None
    dimensions: int = 1
    mixing: int = 0
    samples: int | None = None

    def noise(self, values: int) -> Specs:
        """Of so many values."""
        batch = (values,) if self.samples is None else (self.samples, values)
        return self.objective(self.parameters).noise(*batch, dimensions=self.dimensions, mixing=self.mixing)


def always(value: Any) -> Callable[[Parameters], Any]:
    return lambda _: value


def elbo(
    family: Callable[[Parameters], Any], log_joint: LogJoint, dimensions: int = 1
) -> Callable[..., Tensor]:
    """int q (log p - log q) dz."""

    def exact(p: Parameters) -> Tensor:
        z, cell = grid(dimensions, spacing=0.06 * dimensions)
        log_q = family(p).log_prob(z)
        return (log_q.exp() * (log_joint(z) - log_q)).sum() * cell

    return exact


def semi_implicit_elbo(p: Parameters) -> Tensor:
    z, cell = grid(1)
    log_q = mixed(semi_implicit(p))(z)
    return (log_q.exp() * (on_the_line(z) - log_q)).sum() * cell


def sivi(p: Parameters, others: int) -> Tensor:
    """E [log p(z) - log (1 / (T + 1)) (q(z|e) + sum_t q(z|e_t))] over u, e and e_t."""
    q = semi_implicit(p)
    nodes, weights = standard(2 + others, 0.25)
    means, scale = q.mean(nodes[:, 1:, None]).squeeze(-1), q.log_scale.exp()
    z = means[:, :1] + scale * nodes[:, :1]
    density = (torch.exp(-0.5 * ((z - means) / scale).square()) / (scale * (2 * torch.pi) ** 0.5)).mean(-1)
    return weights @ (on_the_line(z) - density.log())


def observed(p: Parameters) -> DiagonalGaussian:
    """With an axis of observations, which are all alike."""
    return DiagonalGaussian(draws_axis(p["mean"], 2), draws_axis(p["log_variance"], 2))


def observed_mixture(p: Parameters) -> GaussianMixture:
    q = mixture(p)
    return GaussianMixture(q.log_weight.unsqueeze(-2), q.mean.unsqueeze(-3), q.scale.unsqueeze(-3), -3)


def iwae_of_two(p: Parameters) -> Tensor:
    """E log (w(z_1) + w(z_2)) / 2."""
    q = gaussian(p)
    nodes, weights = standard(2, 0.1)
    z = (q.mean + torch.exp(0.5 * q.log_variance) * nodes).unsqueeze(-1)
    return weights @ (on_the_line(z) - q.log_prob(z)).exp().mean(-1).log()


def iwae_of_components(p: Parameters) -> Tensor:
    """E log (pi_1 w(z_1) + pi_2 w(z_2)), z_k ~ N(m_k, s_k^2)."""
    q = mixture(p)
    nodes, weights = standard(2, 0.1)
    z = (q.mean.mT + q.scale.mT * nodes).unsqueeze(-1)
    return weights @ ((on_the_line(z) - q.log_prob(z)).exp() @ q.log_weight.exp()).log()


CHAIN = hmc.Kernel(2, leapfrog_steps=1)


def model(p: Parameters) -> Shifted:
    return Shifted(p["shift"])


def refined_density(p: Parameters, family: Callable[[Parameters], Any] = gaussian) -> tuple[Tensor, ...]:
    """f = log p - log q_0, q_0 and q_t on a grid, and the nodes and the cell of that."""
    z, cell = grid(1, spacing=0.015)
    log_joint = model(p).detach()
    log_q = family(p).log_prob(z)
    kernel = transition(log_joint, z, STEP)
    return log_joint(z) - log_q, log_q.exp(), kernel @ (kernel @ log_q.exp()), z, tensor(cell).squeeze()


def minus_vcd(p: Parameters, alpha: float, family: Callable[[Parameters], Any] = gaussian) -> Tensor:
    """E_{q_0} f - alpha E_{q_t} f."""
    f, initial, end, _, cell = refined_density(p, family)
    return ((initial - alpha * end) * f).sum() * cell


def and_model(value: Callable[[Parameters], Tensor]) -> Callable[[Parameters], Tensor]:
    """With the gradient of E_{q_t} log p(x, z) in the model's parameters."""

    def total(p: Parameters) -> Tensor:
        _, _, end, z, cell = refined_density(p)
        return value(p) + (end.detach() * model(p)(z)).sum() * cell

    return total


def log_ratio(p: Parameters) -> LogJoint:
    """log q - log N(0, I) of a Gaussian q as it is now."""
    q = gaussian(p).detach()
    return lambda z: q.log_prob(z) - standard_gaussian_log_density(z)


def linear(p: Parameters) -> LogJoint:
    return lambda z: (draws_axis(p["slope"]) * z).sum(-1) + p["offset"]


def classification(p: Parameters) -> Tensor:
    z, cell = grid(1)
    logit, at_q, at_p = linear(p)(z), gaussian(p).log_prob(z).exp(), standard_gaussian_log_density(z).exp()
    return (at_q.detach() * logit.sigmoid().log() + at_p * (-logit).sigmoid().log()).sum() * cell


def of_bits(p: Parameters) -> LogJoint:
    return lambda z: (draws_axis(p["weight"]) * z).sum(-1).exp()


def enumerated(p: Parameters) -> Tensor:
    z = all_codes(3)
    log_q = bernoulli(p).log_prob(z)
    return (log_q.exp() * (of_bits(p)(z) - log_q)).sum()


MODEL = LINE | {"shift": tensor(0.2)}
MIXTURE_MODEL = MIXTURE | {"shift": tensor(0.2)}
DISCRIMINATOR = LINE | {"slope": tensor(0.7), "offset": tensor(-0.2)}
BITS = {"logits": tensor(0.8, -0.5, 0.1), "weight": tensor(0.4, -0.9, 0.6)}
LINE_TARGET, PLANE_TARGET = always(on_the_line), always(on_the_plane)
PRIOR = always(StandardNormalPrior(lambda z: on_the_line(z) - standard_gaussian_log_density(z)))
LONG = hmc.Kernel(24, leapfrog_steps=4, burn_in=16)
flow = FAMILIES["Flow, 1"].make


INDICES = {"logits": tensor(0.8, -0.5, 0.1, 0.9), "log_likelihood": tensor(-0.3, 0.4, 0.2, -1.0)}


def observed_proposal(p: Parameters) -> Proposal:
    """With an axis of observations, which are all alike, and the largest term for certain."""
    return proposal({"logits": p["logits"].unsqueeze(-2)}, k=1)


def mapa_of_two(p: Parameters) -> Tensor:
    """E log [p(i_1) + (p(i_2) / q~(i_2) + p(i_3) / q~(i_3)) / 2] / N, without gradient in q."""
    logits, likelihood = p["logits"].detach(), p["log_likelihood"].exp()
    first = int(logits.argmax())
    rest = torch.tensor([i for i in range(len(logits)) if i != first])
    q = logits[rest].softmax(0)
    ratio = likelihood[rest] / q
    bound = (likelihood[first] + (ratio + ratio[:, None]) / 2).log() - torch.tensor(len(logits)).log()
    return (q * q[:, None] * bound).sum()


def shifted_elbo(p: Parameters) -> Tensor:
    return elbo(gaussian, model(p).detach())(p)


OBJECTIVES: dict[str, ObjectiveCase] = {
    "ELBO": ObjectiveCase(
        PLANE, gaussian, PLANE_TARGET, always(ELBO()), elbo(gaussian, on_the_plane, 2), dimensions=2
    ),
    "ELBO of a mixture": ObjectiveCase(
        MIXTURE, mixture, LINE_TARGET, always(ELBO()), elbo(mixture, on_the_line)
    ),
    "ELBO of mixtures of observations": ObjectiveCase(
        MIXTURE, observed_mixture, LINE_TARGET, always(ELBO()), elbo(mixture, on_the_line), samples=2
    ),
    "ELBO of a flow": ObjectiveCase(
        {"context": tensor(0.3)}, flow, LINE_TARGET, always(ELBO()), elbo(flow, on_the_line)
    ),
    "ELBO in closed form": ObjectiveCase(
        LINE, gaussian, PRIOR, always(ClosedFormELBO()), elbo(gaussian, on_the_line)
    ),
    "SIVI": ObjectiveCase(
        CURVED, semi_implicit, LINE_TARGET, always(SIVI(1, shared=False)), partial(sivi, others=1), mixing=1
    ),
    "UIVI": ObjectiveCase(
        CURVED,
        semi_implicit,
        LINE_TARGET,
        always(UIVI(LONG, 0.35)),
        partial(sivi, others=0),
        semi_implicit_elbo,
        mixing=1,
    ),
    "IWAE": ObjectiveCase(LINE, observed, LINE_TARGET, always(IWAE()), iwae_of_two, samples=2),
    "IWAE, doubly reparameterised": ObjectiveCase(
        LINE, observed, LINE_TARGET, always(IWAE(True)), iwae_of_two, samples=2
    ),
    "IWAE of a mixture": ObjectiveCase(
        MIXTURE, observed_mixture, LINE_TARGET, always(IWAE()), iwae_of_components, samples=2
    ),
    "MAPA": ObjectiveCase(
        INDICES,
        observed_proposal,
        lambda p: Uniform(p["log_likelihood"].unsqueeze(-2)),
        always(MAPA()),
        mapa_of_two,
        samples=2,
    ),
    "Hoffman": ObjectiveCase(
        MODEL, gaussian, model, always(Hoffman(CHAIN, STEP)), shifted_elbo, and_model(shifted_elbo)
    ),
    **{
        f"VCD, {alpha}": ObjectiveCase(
            MODEL,
            gaussian,
            model,
            always(VCD(CHAIN, STEP, alpha)),
            partial(minus_vcd, alpha=alpha),
            and_model(partial(minus_vcd, alpha=alpha)),
        )
        for alpha in (1.0, 0.4)
    },
    "VCD of a mixture": ObjectiveCase(
        MIXTURE_MODEL,
        mixture,
        lambda p: model(p).detach(),
        always(VCD(CHAIN, STEP)),
        partial(minus_vcd, alpha=1.0, family=mixture),
    ),
    "DensityRatio": ObjectiveCase(
        LINE, gaussian, PRIOR, lambda p: DensityRatio(log_ratio(p)), elbo(gaussian, on_the_line)
    ),
    "Classification": ObjectiveCase(
        DISCRIMINATOR, gaussian, PRIOR, lambda p: Classification(linear(p), 1), classification
    ),
    **{
        type(one).__name__: ObjectiveCase(BITS, bernoulli, of_bits, always(one), enumerated, dimensions=3)
        for one in (ARM(), DisARM(), REINFORCE())
    },
}
