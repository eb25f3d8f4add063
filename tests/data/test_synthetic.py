import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from allowance import within
from elbogap.data import synthetic
from elbogap.errors import UserError

Z = np.linspace(-4, 4, 801)


def test_the_five_problems_and_the_folded_variant_with_their_noise_variances() -> None:
    assert synthetic.PRINTED == ("absolute_value", "circle", "clusters", "figure_8", "spiral_dots")
    assert {name: problem.noise_variance for name, problem in synthetic.PROBLEMS.items()} == {
        "absolute_value": 0.01,
        "absolute_value_folded": 0.01,
        "circle": 0.01,
        "clusters": 0.2,
        "figure_8": 0.02,
        "spiral_dots": 0.01,
    }


@pytest.mark.parametrize("name", synthetic.PROBLEMS)
def test_decoders_keep_the_batch_shape_and_are_continuous(name: str) -> None:
    decoder = synthetic.problem(name).decoder
    assert decoder(Z.reshape(3, 267)).shape == (3, 267, 2)
    # Lipschitz: the steepest, Spiral-Dots, moves 13 * 10 * pi^2 / 2 at most per unit of z.
    fine = np.linspace(-4, 4, 200_001)
    assert within(np.diff(decoder(fine), axis=0), fine[1] - fine[0], times=700)


def test_circle_lies_on_the_unit_circle_and_starts_and_ends_at_the_same_point() -> None:
    np.testing.assert_allclose(np.hypot(*synthetic.circle(Z).T), 1, atol=1e-12)
    np.testing.assert_allclose(synthetic.circle(np.array([-40.0, 40.0])), [[1, 0], [1, 0]], atol=1e-12)


def test_figure_8_lies_on_its_lemniscate() -> None:
    # x = a cos u / (1 + sin^2 u), y / 2 = a sin u cos u / (1 + sin^2 u), a = sqrt(1/2): Bernoulli's curve.
    x, y = synthetic.figure_8(Z).T
    np.testing.assert_allclose((x**2 + (y / 2) ** 2) ** 2, 0.5 * (x**2 - (y / 2) ** 2), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "u_max", "rise", "weights"),
    [
        ("clusters", 2 * np.pi, 4, [0.144, 0.333, 0.330, 0.193]),
        ("spiral_dots", 4 * np.pi, 2, [0.060, 0.170, 0.166, 0.162, 0.164, 0.171, 0.107]),
    ],
)
def test_staircases_have_their_plateaus_at_even_u_and_their_steps_at_odd_u(
    name: str, u_max: float, rise: int, weights: list[float]
) -> None:
    """t(2 m) = rise m up to tanh(10) - 1, and t(2 m + 1) = rise (m + 1/2): the steps split the prior."""

    def at(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = 2 / np.pi * np.log(u / (u_max - u))
        return z, synthetic.problem(name).decoder(z)

    def point(t: np.ndarray) -> np.ndarray:
        radius = t if name == "spiral_dots" else 1.0
        return np.stack([radius * np.cos(t), radius * np.sin(t)], axis=-1)

    m = np.arange(len(weights) - 1)
    middles, steps = at(2.0 * m + 1)
    np.testing.assert_allclose(steps, point(rise * (m + 0.5)), atol=1e-9)
    np.testing.assert_allclose(at(2.0 * m[1:])[1], point(rise * m[1:]), atol=1e-6)
    np.testing.assert_allclose(np.diff([0, *ndtr(middles), 1]), weights, atol=1e-3)


def test_the_folded_variant_is_even_and_the_printed_one_increases() -> None:
    folded = synthetic.absolute_value_folded(Z)
    np.testing.assert_allclose(folded, folded[::-1], atol=1e-15)
    assert (np.diff(synthetic.absolute_value(Z)[:, 0]) > 0).all()
    np.testing.assert_array_equal(*synthetic.absolute_value(Z).T)


def test_prior_quantiles_integrate_under_the_prior() -> None:
    nodes = synthetic.prior_quantiles(20_000)
    assert nodes.mean() == pytest.approx(0, abs=1e-12)
    assert (nodes**2).mean() == pytest.approx(1, abs=1e-3)
    assert nodes[0] == pytest.approx(ndtri(0.5 / 20_000))


def test_an_unknown_problem_is_named_with_the_choices() -> None:
    with pytest.raises(UserError, match="no synthetic problem 'torus'; there are: absolute_value"):
        synthetic.problem("torus")
