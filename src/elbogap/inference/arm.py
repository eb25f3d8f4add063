"""Gradients of expectations over Bernoulli codes: ARM, DisARM and REINFORCE (efvae, appendix C.2).

For independent bits z_l ~ Bernoulli(sigmoid(a_l)) and any real function f of binary codes, each estimator
returns a mean of f over S draws whose gradient with respect to the logits a is an unbiased estimate of

    d/da E_z[f(z)],

and whose gradient with respect to the parameters of f is that of the mean. f may depend on the logits through
the codes only: terms such as a divergence KL(q || p), which are known exactly, are added outside.

A draw whose f is not finite counts for the mean, but not for the gradient in the logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from elbogap.inference.surrogate import zero_with_gradient

OfCodes = Callable[[Tensor], Tensor]
"""A function of binary codes, `[S, ..., L]` to `[S, ...]`, differentiable in its own parameters."""


def codes(logits: Tensor, uniforms: Tensor) -> Tensor:
    """z = 1[u > sigmoid(-a)] ~ Bernoulli(sigmoid(a)), `[S, ..., L]` in {0, 1}.

    Args:
        logits: a `[..., L]`.
        uniforms: u ~ U(0, 1), `[S, ..., L]`.
    """
    return (uniforms > torch.sigmoid(-logits)).to(logits.dtype)


def arm(function: OfCodes, logits: Tensor, uniforms: Tensor) -> Tensor:
    """ARM: (f(1[u > sigmoid(-a)]) - f(1[u < sigmoid(a)])) (u - 1/2) (Yin and Zhou 2019).

    Args:
        function: f; it is called twice, the second time without gradients.
        logits: a `[..., L]`.
        uniforms: u ~ U(0, 1), `[S, ..., L]`; the estimate is the mean over S.

    Returns:
        `[...]`, in units of f.
    """
    _, _, value, difference = _pair(function, logits, uniforms)
    return _with_gradient(value, difference * (uniforms - 0.5), logits)


def disarm(function: OfCodes, logits: Tensor, uniforms: Tensor) -> Tensor:
    """DisARM: 1/2 (f(z) - f(z')) (z - z') sigmoid(|a|), ARM's mean given both codes (Dong et al. 2020).

    The codes z = 1[u > sigmoid(-a)] and z' = 1[u < sigmoid(a)] are ARM's. Arguments and result as in
    :func:`arm`.
    """
    first, second, value, difference = _pair(function, logits, uniforms)
    weight = 0.5 * (first - second) * torch.sigmoid(logits.abs())
    return _with_gradient(value, difference * weight, logits)


def reinforce(function: OfCodes, logits: Tensor, uniforms: Tensor) -> Tensor:
    """REINFORCE: f(z) d log q(z) / da = f(z) (z - sigmoid(a)), with one call of f (Williams 1992).

    Arguments and result as in :func:`arm`.
    """
    drawn = codes(logits, uniforms)
    value = function(drawn)
    return _with_gradient(value, value.detach().unsqueeze(-1) * (drawn - torch.sigmoid(logits)), logits)


def _pair(function: OfCodes, logits: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two codes made of the same u, f of the first, and what it exceeds f of the second by, `[S, ..., 1]`."""
    logits = logits.detach()
    first, second = codes(logits, uniforms), codes(logits, 1 - uniforms)
    value = function(first)
    with torch.no_grad():  # one code's gradient serves the parameters of f, at two thirds of the cost
        difference = value - function(second)
    return first, second, value, difference.unsqueeze(-1)


def _with_gradient(value: Tensor, gradient: Tensor, logits: Tensor) -> Tensor:
    """The mean of values `[S, ...]`, whose gradient in the logits is the mean of `[S, ..., L]`."""
    gradient = torch.where(gradient.isfinite(), gradient, 0).detach()
    return value.mean(0) + (gradient.mean(0) * zero_with_gradient(logits)).sum(-1)
