"""Settings of document implicit."""

from typing import Annotated, Literal  # noqa: F401

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting  # noqa: F401

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
Unit = Annotated[float, Field(ge=0, le=1)]


# == density_ratio ==


# == toys ==


# == identities ==


# == vcd_toys ==


class VcdChains(Section):
    """Hamiltonian Monte Carlo that refines z_0."""

    iterations: int = setting("Iterations t.", ge=1)
    adapting: int = setting("The first of them adapt the step size, which is carried on.", ge=0)
    leapfrog_steps: int = setting("Leapfrog steps per iteration.", ge=1)
    step_size: float = setting("Leapfrog step at the beginning.", unit="z", gt=0)
    acceptance: float = setting("Acceptance that the step size is adapted to.", gt=0, lt=1)
    rate: float = setting("Rate of the adaptation.", gt=0)


class VcdSteps(Section):
    """The rule of the gradient steps."""

    mean: float = setting("Step size of the means at the beginning.", gt=0)
    deviation: float = setting("Step size of the standard deviations.", gt=0)
    logit: float = setting("Step size of the mixture's logits.", gt=0)
    factor: float = setting("What all step sizes are multiplied with from time to time.", gt=0, le=1)
    forgetting: float = setting("Share of the newest f(z_t) in the running mean, the baseline.", gt=0, le=1)


class VcdFit(Section):
    """How long fits of one family take."""

    draws: int = setting("Draws of each component per step.", ge=1)
    iterations: int = setting("Gradient steps.", ge=1)
    reduced_every: int = setting("Steps from one reduction of the step sizes to the next.", ge=1)
    steps: VcdSteps = setting("The gradient steps.")
    seeds: int = setting("Independent repetitions.", ge=1)


class VcdSweep(VcdFit):
    """alpha-VCD on the correlated Gaussian."""

    ts: tuple[Count, ...] = setting("Numbers t of iterations, all different.", min_length=2)
    alphas: tuple[Unit, ...] = setting("Shares alpha, all different.", min_length=2)
    step_size: float = setting("Leapfrog step, which is not adapted.", unit="z", gt=0)


class VcdProperties(Section):
    """The divergence between Gaussians on the line, by quadrature and by chains."""

    means: tuple[FiniteFloat, ...] = setting("Means of q_0; the target's is 0.", unit="z", min_length=1)
    widths: tuple[Positive, ...] = setting(
        "Standard deviations of q_0; the target's is 1.", unit="z", min_length=1
    )
    ts: tuple[Count, ...] = setting("Numbers t of iterations.", min_length=1)
    alphas: tuple[Unit, ...] = setting("Shares alpha.", min_length=1)
    step_size: float = setting("Leapfrog step, which is not adapted.", unit="z", gt=0)
    nodes: int = setting("Grid points of the quadrature.", ge=50)
    chains: int = setting("Chains per q_0.", ge=100)
    seed: int = setting("Base seed of the chains.", ge=0)


class VcdToys(Section):
    """VCD and the standard KL on the plane, alpha-VCD, and what holds of the divergence."""

    chains: VcdChains = setting("The refinement of the toy experiments.")
    start_deviation: float = setting("Standard deviations of q_0 at the beginning.", unit="z", gt=0)
    factorised: VcdFit = setting("Panels (a) to (c).")
    mixture: VcdFit = setting("Panel (d).")
    banana_alphas: tuple[Unit, ...] = setting("Shares alpha between KL and VCD on the banana.")
    sweep: VcdSweep = setting("alpha-VCD on the correlated Gaussian.")
    properties: VcdProperties = setting("Non-negativity and refinement.")
    round_steps: int = setting("Gradient steps whose noise is drawn at once.", ge=1)
    figure_points: int = setting("Grid points per axis of the contours.", ge=10)
    checkpoint_seconds: float = setting("Least time between two checkpoints.", unit="s", gt=0)
    seed: int = setting("Base seed of starts and noise.", ge=0)


# == regression ==


# == vae ==


class ImplicitConfig(Section):
    """Document implicit."""

    # == density_ratio ==

    # == toys ==

    # == identities ==

    # == vcd_toys ==
    vcd_toys: VcdToys = setting("Toy experiments of VCD and alpha-VCD.")

    # == regression ==

    # == vae ==
