"""What `ensemble.fit` measures on the way, and which networks its members keep."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from elbogap.ensemble import Batch, Fit, Monitor, cosine_decay, exponential_decay, fit
from elbogap.errors import OutOfTime
from elbogap.nn.mlp import MLP, Network
from elbogap.nn.norm_bounded import NormBoundedMLP
from elbogap.training import Work

EPOCHS, STEPS, EVERY = 7, 3, 2
SCORES = [[0.0, 3.0, 1.0, 3.0], [5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]]
"""Made-up measurements of three members: best at the second (and again at the last), first and last."""


@dataclass(frozen=True)
class Regression:
    """Fit y = sin(3 x) on fresh points in every step, the same for each member."""

    members: int
    slow: float = 0.0
    steps: int = STEPS
    reported: ClassVar[tuple[str, ...]] = ()

    def prepare(self, epoch: int) -> Batch:
        x = torch.randn(1, STEPS, 20, 1, generator=torch.Generator().manual_seed(epoch))
        return {"x": x.expand(self.members, -1, -1, -1)}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        time.sleep(self.slow)
        outputs = networks["g"](networks["f"](batch["x"]))
        return -(outputs - torch.sin(3 * batch["x"])).square().mean((1, 2))


@dataclass
class Script:
    """Measures made-up scores in their order, and remembers the parameters that it saw."""

    scores: Sequence[Sequence[float]]
    seen: list[list[Tensor]] = field(default_factory=list)

    def __call__(self, networks: Mapping[str, Network]) -> Mapping[str, Tensor]:
        self.seen.append(parameters(networks))
        score = torch.tensor([scores[len(self.seen) - 1] for scores in self.scores])
        return {"score": score, "first_weight": self.seen[-1][0][:, 0, 0]}


def parameters(networks: Mapping[str, Network]) -> list[Tensor]:
    return [
        one.detach().clone()
        for network in networks.values()
        if isinstance(network, MLP)
        for one in network.parameters()
    ]


def initial(members: int) -> dict[str, MLP]:
    one = [MLP(1, [1, 6, 4], "tanh", torch.Generator().manual_seed(member)) for member in range(members)]
    two = [MLP(1, [4, 1], "tanh", torch.Generator().manual_seed(10 + member)) for member in range(members)]
    return {"f": NormBoundedMLP.around(MLP.joined(one), [1.0] * members), "g": MLP.joined(two)}


def trained(
    monitor: Monitor | None,
    checkpoint: Path,
    members: int = 3,
    *,
    slow: float = 0.0,
    deadline: float = math.inf,
) -> Fit:
    return fit(
        Regression(members, slow),
        initial(members),
        epochs=EPOCHS,
        learning_rate=0.03,
        final_fraction=0.1,
        schedule=exponential_decay,
        record_epochs=EVERY,
        monitor=monitor,
        work=Work("monitored", checkpoint, "", 1e9, deadline),
    )


def test_each_member_keeps_the_parameters_of_its_own_best_measurement(tmp_path: Path) -> None:
    script = Script(SCORES)
    result = trained(Monitor(EVERY, script, select="score"), tmp_path / "c.pt")
    assert result.kept.tolist() == [1, 0, 3]
    np.testing.assert_array_equal(result.measured["score"], SCORES)
    for member, best in enumerate(result.kept):
        for found, seen in zip(parameters(result.networks), script.seen[best], strict=True):
            assert torch.equal(found[member], seen[member])
    first_weights = torch.stack([seen[0][:, 0, 0] for seen in script.seen], 1)
    np.testing.assert_array_equal(result.measured["first_weight"], first_weights)
    assert len({weight.item() for weight in first_weights[0]}) == 4  # training went on after the best


def test_the_last_epoch_is_measured_too(tmp_path: Path) -> None:
    script = Script(SCORES)
    last = trained(Monitor(EVERY, script), tmp_path / "a.pt")
    assert len(script.seen) == 4  # after epochs 2, 4, 6 and 7
    assert last.values.shape == last.measured["score"].shape
    for found, seen in zip(parameters(last.networks), script.seen[-1], strict=True):
        assert torch.equal(found, seen)
    only = Script(SCORES)
    trained(Monitor(EPOCHS + 5, only), tmp_path / "b.pt")
    assert len(only.seen) == 1
    for seen, at_end in zip(only.seen[0], script.seen[-1], strict=True):
        assert torch.equal(seen, at_end)


def test_without_a_choice_the_last_networks_stay_and_measuring_changes_nothing(tmp_path: Path) -> None:
    watched = trained(Monitor(EVERY, Script(SCORES)), tmp_path / "a.pt")
    unwatched = trained(None, tmp_path / "b.pt")
    assert watched.kept.tolist() == unwatched.kept.tolist() == [-1, -1, -1]
    assert unwatched.measured == {}
    np.testing.assert_array_equal(watched.values, unwatched.values)
    for left, right in zip(parameters(watched.networks), parameters(unwatched.networks), strict=True):
        assert torch.equal(left, right)


def test_what_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    nan, inf = math.nan, math.inf
    scores = [[nan, 1.0, nan, 0.0], [2.0, inf, nan, 1.0], [nan, inf, -inf, nan]]
    script = Script(scores)
    result = trained(Monitor(EVERY, script, select="score"), tmp_path / "c.pt")
    assert result.kept.tolist() == [1, 0, -1]
    np.testing.assert_array_equal(result.measured["score"], scores)
    for member, best in enumerate(result.kept[:2]):
        for found, seen in zip(parameters(result.networks), script.seen[best], strict=True):
            assert torch.equal(found[member], seen[member])


def test_any_measured_name_may_choose(tmp_path: Path) -> None:
    script = Script(SCORES)
    result = trained(Monitor(EVERY, script, select="first_weight"), tmp_path / "c.pt")
    assert result.kept.tolist() == result.measured["first_weight"].argmax(1).tolist()


@dataclass(frozen=True)
class Rising:
    """A bound that depends on the networks alone: the fit to a few points, which does not rise steadily."""

    def __call__(self, networks: Mapping[str, Network]) -> Mapping[str, Tensor]:
        x = torch.linspace(-2, 2, 9).view(1, 9, 1).expand(3, -1, -1)
        error = (networks["g"](networks["f"](x)) - torch.sin(3 * x)).square().mean((1, 2))
        return {"score": (1e4 * error).sin(), "error": error}


@pytest.mark.parametrize("budget", [0.0, 0.01])
def test_a_run_in_many_pieces_measures_and_keeps_what_the_uninterrupted_run_does(
    tmp_path: Path, budget: float
) -> None:
    monitor = Monitor(EVERY, Rising(), select="score")
    whole = trained(monitor, tmp_path / "whole.pt")
    pieces = 1
    while True:
        try:
            found = trained(monitor, tmp_path / "c.pt", slow=0.002, deadline=time.monotonic() + budget)
            break
        except OutOfTime:
            pieces += 1
    assert pieces > 2
    assert len(set(whole.kept.tolist())) > 1
    np.testing.assert_array_equal(found.kept, whole.kept)
    assert found.measured.keys() == whole.measured.keys()
    for name, values in whole.measured.items():
        np.testing.assert_array_equal(found.measured[name], values)
    np.testing.assert_array_equal(found.values, whole.values)
    for left, right in zip(parameters(found.networks), parameters(whole.networks), strict=True):
        assert torch.equal(left, right)


def test_a_finished_run_gives_the_same_again_from_its_checkpoint(tmp_path: Path) -> None:
    monitor = Monitor(EVERY, Rising(), select="score")
    first = trained(monitor, tmp_path / "c.pt")
    again = trained(Monitor(EVERY, Script([]), select="score"), tmp_path / "c.pt")
    np.testing.assert_array_equal(first.kept, again.kept)
    np.testing.assert_array_equal(first.measured["error"], again.measured["error"])
    for left, right in zip(parameters(first.networks), parameters(again.networks), strict=True):
        assert torch.equal(left, right)


def test_measuring_leaves_no_gradient(tmp_path: Path) -> None:
    enabled = []

    def measure(networks: Mapping[str, Network]) -> Mapping[str, Tensor]:
        enabled.append(torch.is_grad_enabled())
        return {"zero": torch.zeros(3)}

    trained(Monitor(EVERY, measure), tmp_path / "c.pt")
    assert enabled == [False] * 4


@given(share=st.floats(1e-4, 1), first=st.floats(0, 0.5), length=st.floats(0, 0.5))
def test_the_decaying_rate_is_geometric_between_one_and_the_final_share(
    share: float, first: float, length: float
) -> None:
    """Eq. 43: over times of equal length the rate falls by equal factors."""
    assert exponential_decay(0, share) == 1
    assert exponential_decay(1, share) == pytest.approx(share)
    early = exponential_decay(first + length, share) / exponential_decay(first, share)
    late = exponential_decay(1 - first, share) / exponential_decay(1 - first - length, share)
    assert early == pytest.approx(late)
    assert exponential_decay(0.5, share) == pytest.approx(math.sqrt(share))


def test_a_schedule_is_asked_for_the_share_of_steps_made(tmp_path: Path) -> None:
    asked = []

    def schedule(time: float, final_share: float) -> float:
        asked.append((time, final_share))
        return cosine_decay(time, final_share)

    work = Work("schedule", tmp_path / "c.pt", "", 1e9)
    fit(
        Regression(1), initial(1), epochs=2, learning_rate=0.01, final_fraction=0.3, schedule=schedule,
        record_epochs=1, work=work,
    )  # fmt: skip
    assert asked == [(pytest.approx(i / 6), 0.3) for i in range(1, 7)]
