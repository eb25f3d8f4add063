"""A Pyro model through its log-density, where Pyro is installed."""

import pytest
import torch
from torch import Tensor
from torch.distributions import constraints

from elbogap.api import fit


def test_a_pyro_model_is_fitted_by_its_log_density() -> None:
    pyro = pytest.importorskip("pyro")
    from pyro import distributions, poutine

    data = torch.tensor([1.0, 2.0, 4.0])

    def model() -> None:
        rate = pyro.sample("rate", distributions.Gamma(2.0, 1.0))
        with pyro.plate("data", 3):
            pyro.sample("x", distributions.Exponential(rate), obs=data)

    def log_density(p: dict[str, Tensor]) -> Tensor:
        def one(rate: Tensor) -> Tensor:
            trace = poutine.trace(poutine.condition(model, {"rate": rate})).get_trace()
            return trace.log_prob_sum()

        return torch.stack([one(rate) for rate in p["rate"]])

    found = fit(
        log_density,
        {"rate": ()},
        "full_rank",
        support={"rate": constraints.positive},
        steps=50,
        progress=False,
    )
    exact = distributions.Gamma(5.0, 8.0)  # 2 + 3 data, 1 + their sum
    rate = found.sample(5000)["rate"]
    assert float(rate.mean()) == pytest.approx(float(exact.mean), rel=0.1)
