"""What a user may get wrong, in one line each, and fits that do not succeed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from problems import standard
from torch import Tensor
from torch.distributions import Gamma, constraints

from elbogap.api import FitWarning, fit
from elbogap.errors import UserError

X = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("log_density", "dim", "said"),
    [
        (lambda z: -0.5 * z.square(), 3, r"of 17 draws must be a tensor \[17\], not \[17, 3\].*sum over"),
        (lambda z: -0.5 * z.square().sum(), 3, r"must be a tensor \[17\], not \[\]"),
        (lambda z: np.zeros(17), 3, "must be a tensor .*not ndarray"),
        (lambda z: -z.detach().square().sum(-1), 3, "no gradient.*detach"),
        (lambda z: z.sum(-1) * math.nan, 3, "is nan at the start"),
        (lambda z: z.sum(-1) - math.inf, 3, "is -inf at the start"),
        (lambda z: z.log().sum(-1) - z.sum(-1), 2, r"nan at \d+ of 17 points, such as z\[0\] = .*support="),
        (lambda z: Gamma(2.0, 1.0, validate_args=True).log_prob(z).sum(-1), 2, "ValueError.*support="),
        (
            lambda z: (z @ X.double().T).square().neg().sum(-1),
            4,
            r"fails on draws \[17, 4\]: RuntimeError.*dim",
        ),
        (lambda p: p["other"], {"mu": ()}, "fails on draws {'mu': .*KeyError.*other"),
        (standard, 0, "dim is the length"),
        (standard, {"mu": -1}, "'mu' has the shape -1"),
    ],
)
def test_a_log_density_that_cannot_be_used_is_one_line(
    log_density: Callable[[Any], Tensor], dim: Any, said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        fit(log_density, dim, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "meanfield"}, r"no method 'meanfield' \(did you mean 'mean_field'\?\); there are: mean"),
        ({"steps": 0}, "steps is a positive number"),
        ({"support": {"z": constraints.positive}}, "supports by name need shapes by name"),
        ({"support": constraints.integer_interval(0, 2)}, "has no transform"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        fit(standard, 2, **{"steps": 5, "progress": False, **options})


def test_supports_and_names_must_agree() -> None:
    with pytest.raises(UserError, match=r"'sigm', which is no parameter \(did you mean 'sigma'\?\)"):
        fit(lambda p: p["sigma"], {"sigma": ()}, support={"sigm": constraints.positive}, progress=False)


def test_a_bound_behind_which_the_density_is_zero_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(z: Tensor) -> Tensor:
        return torch.where(z > 0, -z, -math.inf).sum(-1)

    with pytest.raises(UserError, match=r"-inf at \d+ of 512 draws.*support="):
        fit(half, 1, progress=False)


def test_data_in_single_precision_are_taken() -> None:
    found = fit(lambda z: -0.5 * (z @ X.T).square().sum(-1), 3, "full_rank", steps=50, progress=False)
    z = found.sample(5000)
    assert z.dtype == torch.float64
    torch.testing.assert_close(torch.cov(z.T), (X.T @ X).inverse().double(), rtol=0.2, atol=0.02)


def test_a_draw_for_which_the_log_density_raises_is_as_one_without_mass() -> None:
    def of_matrix(z: Tensor) -> Tensor:
        """A Wishart-like density of [[1, z], [z, 1]], positive definite for |z| < 1 alone."""
        matrix = torch.stack([torch.ones_like(z), z, z, torch.ones_like(z)], -1).view(-1, 2, 2)
        return (
            torch.linalg.cholesky(matrix).diagonal(dim1=-2, dim2=-1).log().sum(-1) * 8
            - 8 * z.squeeze(-1).square()
        )

    found = fit(of_matrix, 1, "full_rank", steps=30, progress=False)
    z = found.sample(5000)
    assert (z.abs() < 1).double().mean() > 0.99
    assert float(z.mean()) == pytest.approx(0, abs=0.05)


class Interrupted:
    """A Gaussian, whose evaluation is interrupted once."""

    def __init__(self, at: int) -> None:
        self.calls, self.at = 0, at

    def __call__(self, z: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return standard(z - 3)


def test_ctrl_c_keeps_what_has_been_found() -> None:
    whole = Interrupted(at=-1)
    fit(whole, 2, "full_rank", steps=300, progress=False)
    with pytest.warns(FitWarning, match=r"stopped by Ctrl-C after \d+ steps"):
        found = fit(Interrupted(at=whole.calls - 150), 2, "full_rank", steps=300, progress=False)
    assert 100 < len(found.trace.values) < 300
    assert not found.diagnostics.converged
    assert (found.sample(2000).mean(0) - 3).abs().max() < 0.2
