import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from elbogap.ensemble import Batch, Fit, cosine_decay, fit, in_chunks, step_decay
from elbogap.errors import OutOfTime
from elbogap.nn.mlp import MLP, Network
from elbogap.training import Work

EPOCHS, STEPS, RATE, SHARE = 6, 5, 0.03, 0.2


@dataclass(frozen=True)
class Regression:
    """Fit y = sin(3 x) on fresh points in every step."""

    members: Sequence[int]
    slow: float = 0.0
    steps: int = STEPS
    reported: ClassVar[tuple[str, ...]] = ("mean_x",)

    def prepare(self, epoch: int) -> Batch:
        x = torch.stack(
            [
                torch.randn(STEPS, 20, 1, generator=torch.Generator().manual_seed(1000 * epoch + member))
                for member in self.members
            ]
        )
        return {"x": x, "y": torch.sin(3 * x), "mean_x": x.mean((2, 3))}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        time.sleep(self.slow)
        return -(networks["f"](batch["x"]) - batch["y"]).square().mean((1, 2))


def initial(members: Sequence[int]) -> dict[str, MLP]:
    each = [MLP(1, [1, 8, 8, 1], "tanh", torch.Generator().manual_seed(member)) for member in members]
    return {"f": MLP.joined(each)}


def trained(
    members: Sequence[int],
    checkpoint: Path,
    *,
    slow: float = 0.0,
    deadline: float = math.inf,
    checkpoint_seconds: float = 1e9,
) -> Fit:
    return fit(
        Regression(members, slow),
        initial(members),
        epochs=EPOCHS,
        learning_rate=RATE,
        final_fraction=SHARE,
        record_epochs=2,
        work=Work("regression", checkpoint, "", checkpoint_seconds, deadline),
    )


def flat(result: Fit) -> Tensor:
    network = result.networks["f"]
    return torch.cat([one.detach().flatten(1) for one in (*network.weights, *network.biases)], 1)


def test_a_member_trains_like_an_ordinary_module(tmp_path: Path) -> None:
    result = trained([3, 4], tmp_path / "c.pt")
    start = initial([4])["f"]
    layers: list[nn.Module] = []
    for weight, bias in zip(start.weights, start.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[2])
        with torch.no_grad():
            layer.weight.copy_(weight[0].T)
            layer.bias.copy_(bias[0, 0])
        layers += [layer, nn.Tanh()]
    module = nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    values = []
    for epoch in range(EPOCHS):
        batch = Regression([4]).prepare(epoch)
        for k in range(STEPS):
            loss = (module(batch["x"][0, k]) - batch["y"][0, k]).square().mean()
            values.append(-loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = RATE * cosine_decay(len(values) / (EPOCHS * STEPS), SHARE)
            optimiser.step()
    final = result.networks["f"].weights[2][1]
    torch.testing.assert_close(final.T, module[4].weight, rtol=1e-4, atol=1e-5)
    expected = torch.tensor(values).view(3, 2 * STEPS).mean(1)
    torch.testing.assert_close(torch.from_numpy(result.values[1]), expected.double(), rtol=1e-4, atol=1e-5)
    assert result.values[1, -1] > result.values[1, 0]  # it learns


def test_a_member_does_not_depend_on_its_companions(tmp_path: Path) -> None:
    together = flat(trained([0, 1, 2], tmp_path / "all.pt"))
    for member in range(3):
        alone = flat(trained([member], tmp_path / f"{member}.pt"))
        torch.testing.assert_close(alone[0], together[member], rtol=1e-4, atol=1e-6)


def test_equal_runs_are_equal_to_the_bit_and_report_what_they_prepared(tmp_path: Path) -> None:
    first, again = (trained([0, 1], tmp_path / f"{name}.pt") for name in "ab")
    assert torch.equal(flat(first), flat(again))
    reported = [Regression([0, 1]).prepare(epoch)["mean_x"].mean(1) for epoch in (4, 5)]
    last = torch.from_numpy(first.reported["mean_x"][:, -1])
    torch.testing.assert_close(last, torch.stack(reported).mean(0).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("budget", [0.0, 0.01, 0.03])
def test_a_run_in_many_pieces_is_the_uninterrupted_run(tmp_path: Path, budget: float) -> None:
    pieces = 1
    while True:
        try:
            result = trained([0, 1], tmp_path / "c.pt", slow=0.002, deadline=time.monotonic() + budget)
            break
        except OutOfTime:
            pieces += 1
    assert pieces > 1
    whole = trained([0, 1], tmp_path / "whole.pt")
    assert torch.equal(flat(result), flat(whole))
    assert (result.values == whole.values).all()
    assert (result.reported["mean_x"] == whole.reported["mean_x"]).all()


def test_the_rate_falls_from_whole_to_the_final_share_and_may_stay() -> None:
    assert cosine_decay(0, 0.1) == 1
    assert cosine_decay(0.5, 0.1) == pytest.approx(0.55)
    assert cosine_decay(1, 0.1) == pytest.approx(0.1)
    assert all(cosine_decay(time, 1) == 1 for time in (0, 0.3, 1))


@pytest.mark.parametrize(("steps", "stair"), [(12, 3), (400_000, 15_000), (100_000, 3_000), (7, 7), (49, 1)])
def test_stairs_go_down_after_each_so_many_steps(steps: int, stair: int) -> None:
    schedule = step_decay(0.9, stair / steps)
    for down in range(steps // stair + 1):
        for i in {down * stair + 1, down * stair + stair}:
            if i <= steps:
                assert schedule(i / steps, 0.3) == pytest.approx(0.9**down, rel=1e-9)
    assert schedule(0, 0.3) == 1


class Scale(nn.Module):
    """A factor of each member's targets, which the objective changes in place."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.ones(members))


@dataclass(frozen=True)
class Moving(Regression):
    """Two networks f and g, whose product fits targets that grow with every step made."""

    scale: Scale | None = None
    device: str = "cpu"

    def prepare(self, epoch: int) -> Batch:
        return {name: values.to(self.device) for name, values in super().prepare(epoch).items()}

    def value(self, networks: Mapping[str, Network], batch: Batch) -> Tensor:
        assert self.scale is not None
        time.sleep(self.slow)
        error = (
            networks["f"](batch["x"]) * networks["g"](batch["x"])
            - batch["y"] * self.scale.value[:, None, None]
        )
        self.scale.value.mul_(1 + 0.01 * batch["mean_x"]).add_(0.05)
        return -error.square().mean((1, 2))


def moved(
    members: Sequence[int],
    checkpoint: Path,
    damped: Mapping[str, float] | None,
    *,
    slow: float = 0.0,
    deadline: float = math.inf,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """All parameters of each member, f's before g's, and the scales."""
    scale = Scale(len(members)).to(device)
    networks = {"f": initial(members)["f"], "g": initial([member + 50 for member in members])["f"]}
    result = fit(
        Moving(members, slow, scale=scale, device=device), networks, epochs=EPOCHS, learning_rate=RATE,
        schedule=step_decay(0.5, 0.3), record_epochs=2, damped=damped, state=scale,
        work=Work("moving", checkpoint, "", 1e9, deadline), device=device,
    )  # fmt: skip
    each = [one.detach().flatten(1) for name in "fg" for one in result.networks[name].parameters()]
    return torch.cat(each, 1), scale.value.cpu()


DAMPED = {"f": 1.0, "g": 0.2}


def test_damped_steps_and_state_are_those_of_a_loop_written_out(tmp_path: Path) -> None:
    found, found_scale = moved([3], tmp_path / "c.pt", DAMPED)
    f, g = initial([3])["f"], initial([53])["f"]
    shares = [(one, share) for network, share in ((f, 1.0), (g, 0.2)) for one in network.parameters()]
    squares: list[Tensor] = []
    scale, made = torch.ones(1), 0
    for epoch in range(EPOCHS):
        batch = Regression([3]).prepare(epoch)
        for k in range(STEPS):
            x, y = batch["x"][:, k], batch["y"][:, k]
            loss = (f(x) * g(x) - scale * y).square().mean()
            gradients = torch.autograd.grad(loss, [one for one, _ in shares])
            if made == 0:
                squares = [one.square() for one in gradients]
            squares = [0.9 * old + 0.1 * one.square() for old, one in zip(squares, gradients, strict=True)]
            rate = RATE * 0.5 ** (made // 9)  # 9 steps are 0.3 of all 30
            with torch.no_grad():
                for (one, share), slope, square in zip(shares, gradients, squares, strict=True):
                    one.sub_(rate * share * slope / (1 + square.sqrt()))
            scale = scale * (1 + 0.01 * batch["mean_x"][:, k]) + 0.05
            made += 1
    expected = torch.cat([one.detach().flatten(1) for one, _ in shares], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found_scale, scale)


def test_each_network_has_its_multiple_of_the_rate(tmp_path: Path) -> None:
    start = torch.cat([one.detach().flatten(1) for m in (0, 50) for one in initial([m])["f"].parameters()], 1)
    half = start.shape[1] // 2
    for name, still in (("f", slice(half)), ("g", slice(half, None))):
        found, _ = moved([0], tmp_path / f"{name}.pt", {"f": 1.0, "g": 1.0} | {name: 0.0})
        frozen = found == start
        assert frozen[:, still].all()
        assert frozen.sum() == half


@pytest.mark.parametrize("damped", [None, DAMPED])
def test_state_goes_on_to_the_bit_where_it_was_interrupted(
    tmp_path: Path, damped: Mapping[str, float] | None
) -> None:
    pieces = 1
    while True:
        try:
            late = time.monotonic() + 0.02
            result = moved([0, 1], tmp_path / "c.pt", damped, slow=0.002, deadline=late)
            break
        except OutOfTime:
            pieces += 1
    assert pieces > 1
    whole = moved([0, 1], tmp_path / "whole.pt", damped)
    for left, right in zip(result, whole, strict=True):
        assert torch.equal(left, right)
    assert (whole[1] > 1.5).all()


def test_a_damaged_checkpoint_is_named(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "c.pt").write_bytes(b"PK\x03\x04 cut short")
    trained([0], tmp_path / "c.pt")
    assert "c.pt: damaged checkpoint, not used; starting anew" in capfd.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_chunks_are_halved_where_memory_runs_out_and_nothing_is_done_twice(error: Exception) -> None:
    asked = []

    def work(chunk: Sequence[int]) -> list[int]:
        asked.append(len(chunk))
        if len(chunk) > 3:
            raise error
        return list(chunk)

    assert in_chunks(range(8), 8, work) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert asked == [8, 4, 2, 2, 2, 2]


def test_a_member_that_does_not_fit_and_other_errors_are_not_hidden() -> None:
    def too_large(chunk: Sequence[int]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrong(chunk: Sequence[int]) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(MemoryError, match="a single member does not fit"):
        in_chunks(range(4), 4, too_large)
    with pytest.raises(RuntimeError, match="shapes"):
        in_chunks(range(4), 4, wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_captured_step_trains_as_the_cpu_does(tmp_path: Path) -> None:
    class OnGpu(Regression):
        def prepare(self, epoch: int) -> Batch:
            return {name: values.cuda() for name, values in super().prepare(epoch).items()}

    on_gpu = fit(
        OnGpu([0, 1]), initial([0, 1]), epochs=EPOCHS, learning_rate=RATE,
        final_fraction=SHARE, record_epochs=2,
        work=Work("gpu", tmp_path / "g.pt", "", 1e9), device="cuda",
    )  # fmt: skip
    torch.testing.assert_close(flat(on_gpu), flat(trained([0, 1], tmp_path / "c.pt")), rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("damped", [None, DAMPED])
def test_the_captured_step_changes_the_state_as_the_cpu_does(
    tmp_path: Path, damped: Mapping[str, float] | None
) -> None:
    on_gpu = moved([0, 1], tmp_path / "g.pt", damped, device="cuda")
    for left, right in zip(on_gpu, moved([0, 1], tmp_path / "c.pt", damped), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)
