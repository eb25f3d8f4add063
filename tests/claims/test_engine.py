"""Verdicts: from claims, tables and published numbers to one row per claim."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elbogap import tables
from elbogap.claims import engine, specification
from elbogap.errors import UserError

Values = Callable[..., dict[str, Any]]
BY_ROWS = {
    "check": {"kind": "value", "metric": "kl"},
    "published": {"file": "tab.csv", "column": "kl", "by": "k"},
}


def assess(folder: Any, *claims: dict[str, Any], scale: str = "smoke") -> pd.DataFrame:
    folder.write_claims(*claims)
    return engine.assess_all(specification.load(folder.paper), scale, folder.results, folder.paper)[0]


def only(folder: Any, *claims: dict[str, Any], scale: str = "smoke") -> dict[str, Any]:
    (row,) = assess(folder, *claims, scale=scale).to_dict("records")
    return row


def test_a_reproduced_claim_tells_all(folder: Any, values: Values) -> None:
    row = only(folder, values(published={"value": 0.15, "source": "p. 2"}, note="why"))
    assert list(row) == engine.COLUMNS
    assert row["detail"] == "step from k 1 to 10 is -0.45, must be at most 0"
    assert np.isnan(row["needed"])
    del row["needed"], row["detail"]
    assert row == {
        "id": "toy-kl-falls", "document": "toy", "item": "Figure 1", "statement": "KL falls with k.",
        "kind": "monotone", "nature": "identity", "origin": "ours", "scale": "smoke", "status": "require",
        "verdict": "reproduced", "effect": pytest.approx(-0.45), "ci_low": pytest.approx(-0.45),
        "ci_high": pytest.approx(-0.45), "replicates": 2, "holding": 1, "contradicted": 0, "undecided": 0,
        "criterion": "kl decreasing along k", "measured": "0.6, 0.15", "published": "0.15", "source": "p. 2",
        "tolerance": 0.0, "note": "why",
    }  # fmt: skip


def test_a_failed_claim_is_contradicted(folder: Any, values: Values) -> None:
    rising = {"kind": "monotone", "metric": "kl", "along": "k", "direction": "increasing"}
    row = only(folder, values(check=rising))
    assert row["verdict"] == "contradicted"
    assert row["detail"] == "step from k 1 to 10 is -0.45, must be at least 0"


def test_a_measured_nan_is_contradicted(folder: Any, values: Values) -> None:
    folder.write_table(pd.DataFrame({"k": [1, 10], "seed": 0, "kl": [0.5, np.nan]}))
    row = only(folder, values())
    assert row["verdict"] == "contradicted"
    assert row["measured"] == "0.5, nan"
    assert "not finite" in row["detail"]


def test_a_skipped_claim_needs_no_table(folder: Any, values: Values) -> None:
    row = only(folder, values(table="toy/absent.csv"), scale="paper")
    assert (row["verdict"], row["detail"], row["measured"]) == ("not assessed", "skipped at this scale", "")


@pytest.mark.parametrize("direction", ["decreasing", "increasing"])
def test_a_selection_with_stand_in_data_is_not_assessed(folder: Any, values: Values, direction: str) -> None:
    frame = pd.DataFrame({"k": [1, 10, 1, 10], "problem": ["a", "a", "b", "b"], "kl": [2.0, 1.0, 2.0, 1.0]})
    folder.write_table(frame.assign(data=["real", "real", "real", "stand-in"]))
    check = {"kind": "monotone", "metric": "kl", "along": "k", "direction": direction}
    on_both = values(check=check | {"per": "problem"}, replicates=None)
    row = only(folder, on_both)
    assert (row["verdict"], row["detail"]) == ("not assessed", "rests on stand-in data")
    assert row["measured"] == "2, 1"
    assert np.isnan([row["holding"], row["contradicted"], row["undecided"], row["needed"]]).all()
    effects = engine.assess_all(specification.load(folder.paper), "smoke", folder.results, folder.paper)[1]
    assert effects["value"].tolist() == [-1.0, -1.0]
    assert effects["verdict"].tolist() == ["", ""]
    on_real = only(folder, values(check=check, replicates=None, select={"problem": "a"}))
    assert on_real["verdict"] == ("reproduced" if direction == "decreasing" else "contradicted")


def test_select_keeps_the_rows_with_the_values(folder: Any, values: Values) -> None:
    folder.write_table(
        pd.DataFrame(
            {"k": [1, 10, 1, 10], "method": ["a", "a", "b", "b"], "seed": 0, "kl": [2.0, 1.0, 1.0, 2.0]}
        )
    )
    assert only(folder, values(select={"method": "a"}))["verdict"] == "reproduced"
    assert only(folder, values(select={"method": ["b"], "k": [1, 10]}))["verdict"] == "contradicted"


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ({"method": "a"}, r"select: no column 'method' in toy/tab\.csv; its columns: k, seed, kl"),
        ({"k": 2}, r"select: no row of toy/tab\.csv has k=2"),
        ({"k": [1, 10, 100]}, r"select: no row of toy/tab\.csv has k=100"),
        ({"k": "1"}, r"select: no row of toy/tab\.csv has k=1"),
    ],
)
def test_a_selection_without_rows_is_a_broken_claim(
    folder: Any, values: Values, select: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^claim toy-kl-falls: {message}"):
        assess(folder, values(select=select))


def test_a_missing_table_column_or_row_is_a_broken_claim(folder: Any, values: Values) -> None:
    with pytest.raises(UserError, match=r"^claim toy-kl-falls: .*smoke/toy/absent\.csv is missing; build it"):
        assess(folder, values(table="toy/absent.csv"))
    with pytest.raises(UserError, match=r"^claim toy-kl-falls: no column 'elbo' in the table"):
        assess(folder, values(check={"kind": "bound", "metric": "elbo", "lower": 0}))
    folder.write_table(pd.DataFrame({"k": [], "seed": [], "kl": []}))
    with pytest.raises(UserError, match=r"^claim toy-kl-falls: toy/tab\.csv has no rows"):
        assess(folder, values())
    (folder.results / "smoke/toy/tab.csv").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"^claim toy-kl-falls: .* cannot be read as a table"):
        assess(folder, values())


def test_published_rows_are_joined_by_their_keys(folder: Any, values: Values) -> None:
    folder.write_published(pd.DataFrame({"k": [10, 1], "kl": [0.25, 0.6], "source": ["row 2", "row 1"]}))
    row = only(folder, values(**BY_ROWS))
    assert row["verdict"] == "contradicted"
    assert (row["measured"], row["published"], row["source"]) == ("0.15", "0.25", "row 2")
    scales = values()["scales"] | {"smoke": {"status": "require", "tolerance": 0.11}}
    assert only(folder, values(**BY_ROWS, scales=scales))["verdict"] == "reproduced"


def test_a_published_row_without_a_measured_row_is_a_broken_claim(folder: Any, values: Values) -> None:
    folder.write_published(pd.DataFrame({"k": [1, 100], "kl": [0.6, 0.1], "source": "row"}))
    with pytest.raises(UserError, match=r"^claim toy-kl-falls: no measured row for the published k=100"):
        assess(folder, values(**BY_ROWS))


def test_keys_of_different_types_never_match_silently(folder: Any, values: Values) -> None:
    folder.write_published(pd.DataFrame({"k": ["1", "ten"], "kl": [0.6, 0.1], "source": "row"}))
    with pytest.raises(UserError, match="no measured row for the published k=1"):
        assess(folder, values(**BY_ROWS))


def test_select_and_empty_cells_narrow_the_published_rows(folder: Any, values: Values) -> None:
    frame = pd.DataFrame({"method": ["a", "b"], "k": 1, "kl": [0.6, 0.9]})
    folder.write_table(frame)
    folder.write_published(
        pd.DataFrame({"method": ["a", "a", "b"], "k": [1, 5, 1], "kl": [0.6, np.nan, 7.0], "source": "row"})
    )
    row = only(folder, values(**BY_ROWS, select={"method": "a"}, replicates=None))
    assert (row["verdict"], row["published"]) == ("reproduced", "0.6")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"k": [1], "kl": [0.6]}, "no column 'source'; its columns: k, kl"),
        ({"k": [1], "source": ["row"]}, "no column 'kl'"),
        ({"kl": [1], "source": ["row"]}, "no column 'k'"),
        ({"k": [1, 1], "kl": [0.6, 0.7], "source": "row"}, "k do not tell its rows apart"),
        ({"k": [1], "kl": [np.nan], "source": ["row"]}, "no published value of 'kl' is left"),
        ({"k": [1, 10], "kl": [0.6, 0.1], "source": ["row", None]}, "a row has no source"),
        ({"k": [1], "kl": ["about 1"], "source": ["row"]}, "'kl' must be finite numbers"),
        ({"k": [1], "kl": [np.inf], "source": ["row"]}, "'kl' must be finite numbers"),
    ],
)
def test_a_broken_published_file_is_one_line(
    folder: Any, values: Values, frame: dict[str, Any], message: str
) -> None:
    path = folder.write_published(pd.DataFrame(frame))
    with pytest.raises(UserError, match=f"^claim toy-kl-falls: {path}: {message}") as caught:
        assess(folder, values(**BY_ROWS))
    assert "\n" not in str(caught.value)


def test_a_missing_published_file_is_a_broken_claim(folder: Any, values: Values) -> None:
    with pytest.raises(UserError, match=r"^claim toy-kl-falls: .*tab\.csv is missing"):
        assess(folder, values(**BY_ROWS))


def test_only_required_claims_fail_and_each_is_named(folder: Any, values: Values) -> None:
    high = {"kind": "bound", "metric": "kl", "lower": 0.3}
    near = {"check": {"kind": "value", "metric": "kl"}, "select": {"k": 1}}
    scales = values()["scales"]
    verdicts = assess(
        folder,
        values(id="toy-low", check=high, replicates=None),
        values(id="toy-value", **near, published={"value": 0.5, "source": "p. 1"}),
        values(id="toy-good"),
        values(id="toy-reported", check=high, replicates=None, scales=scales | {"smoke": scales["laptop"]}),
        values(id="toy-skipped", check=high, replicates=None, scales=scales | {"smoke": {"status": "skip"}}),
    )
    assert engine.failures(verdicts) == [
        "claim toy-low: required at smoke, contradicted: measured 0.1, tolerance 0 "
        "(kl, line 5 of the table is 0.1, must be at least 0.3)",
        "claim toy-value: required at smoke, contradicted: measured 0.6, published 0.5, tolerance 0 "
        "(kl is 0.6, must be at least 0.5 and at most 0.5)",
    ]


def test_a_required_claim_on_stand_in_data_is_no_failure(folder: Any, values: Values) -> None:
    folder.write_table(pd.DataFrame({"k": [1, 10], "seed": 0, "kl": [1.0, 2.0], "data": "stand-in"}))
    assert engine.failures(assess(folder, values())) == []


def test_verdicts_survive_being_written(folder: Any, values: Values, tmp_path: Path) -> None:
    folder.write_claims(
        values(note='a "note", with commas'),
        values(id="toy-number", check={"kind": "bound", "metric": "kl", "lower": 0.3}, replicates=None),
        values(id="toy-skipped", scales=values()["scales"] | {"smoke": {"status": "skip"}}),
    )
    claims = specification.load(folder.paper)
    verdicts, effects = engine.assess_all(claims, "smoke", folder.results, folder.paper)
    tables.write(verdicts, tmp_path / "claims.csv")
    pd.testing.assert_frame_equal(engine.read_verdicts(tmp_path / "claims.csv"), verdicts)
    tables.write(effects, tmp_path / "effects.csv")
    pd.testing.assert_frame_equal(engine.read_effects(tmp_path / "effects.csv"), effects)
    with pytest.raises(UserError, match="is not a table of effects; run the claims command again"):
        engine.read_effects(tmp_path / "claims.csv")


def test_what_is_no_table_of_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the claims command again"):
        engine.read_verdicts(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("k,kl\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="is not a table of verdicts"):
        engine.read_verdicts(tmp_path / "other.csv")
