"""The examples run as README and docs/own-model.md show them, and their methods rank as the theory says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "bayesian_logistic_regression.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")
OWN_MODEL = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"```python\n(.*?)\n```", OWN_MODEL, re.DOTALL)

Table = dict[str, list[float]]


def table(text: str) -> Table:
    """The deviations of each method in a printed table."""
    rows = re.findall(r"^(HMC|mean field|VCD|flow|SIVI|UIVI) +([\d. ]+)$", text, re.MULTILINE)
    return {name: [float(value) for value in values.split()] for name, values in rows}


@pytest.fixture(scope="module")
def printed() -> Table:
    run = subprocess.run(
        [sys.executable, EXAMPLE], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return table(run.stdout)


def ratios(printed: Table, method: str) -> list[float]:
    """Standard deviations of the three correlated weights over the reference's."""
    return [one / exact for one, exact in zip(printed[method][:3], printed["HMC"][:3], strict=True)]


def test_mean_field_is_too_narrow_and_vcd_wider(printed: Table) -> None:
    assert list(printed) == ["HMC", "mean field", "VCD", "flow", "SIVI", "UIVI"]
    assert max(ratios(printed, "mean field")) < 0.65
    assert min(ratios(printed, "VCD")) > 0.65
    assert max(ratios(printed, "VCD")) < 0.85


@pytest.mark.parametrize("method", ["flow", "SIVI", "UIVI"])
def test_flows_and_semi_implicit_families_come_close(printed: Table, method: str) -> None:
    assert ratios(printed, method) == pytest.approx([1, 1, 1], abs=0.13)
    assert min(ratios(printed, method)) > max(ratios(printed, "VCD"))


def test_the_uncorrelated_weight_is_right_by_any_method(printed: Table) -> None:
    reference = printed["HMC"][3]
    assert all(values[3] == pytest.approx(reference, abs=0.04) for values in printed.values())


def test_the_page_shows_the_examples_code_and_what_it_prints(printed: Table) -> None:
    block = BLOCKS[-1]
    functions = block.split("\n\n\n")
    assert len(functions) == 4
    assert all(function in EXAMPLE.read_text(encoding="utf-8") for function in functions)
    shown = table(OWN_MODEL)
    assert list(shown) == list(printed)
    for method, values in shown.items():  # other processors round otherwise
        assert values == pytest.approx(printed[method], abs=0.05)


def summary(text: str) -> Table:
    """The rows of a table of means, standard deviations and intervals."""
    rows = re.findall(r"^(z\[\d\])((?: +-?\d+\.\d+){4})$", text, re.MULTILINE)
    return {name: [float(value) for value in values.split()] for name, values in rows}


def test_a_model_of_ones_own_is_fitted_in_twelve_lines_as_shown() -> None:
    program = BLOCKS[0]
    assert len([line for line in program.splitlines() if line]) <= 12
    run = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    shown, printed = summary(OWN_MODEL), summary(run.stdout)
    assert list(shown) == list(printed) == [f"z[{i}]" for i in range(4)]
    for name, values in shown.items():  # other processors round otherwise
        assert values == pytest.approx(printed[name], abs=0.1)


def test_the_readme_s_example_runs_and_orders_elbo_bound_and_likelihood() -> None:
    (block,) = re.findall(r"```python\n(.*?)\n```", README, re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", f"import torch; torch.manual_seed(0)\n{block}"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    elbo, bound, evidence = (float(line.split()[-1]) for line in run.stdout.splitlines())
    assert elbo < bound - 0.1
    assert bound < evidence
    assert bound == pytest.approx(evidence, abs=0.02)


def test_the_readme_is_a_page_and_its_links_lead_somewhere() -> None:
    assert len(README.encode()) <= 7000
    for link in re.findall(r"\]\(([^)#\s]+)\)", README):
        assert link.startswith("http") or (ROOT / link).exists(), link
