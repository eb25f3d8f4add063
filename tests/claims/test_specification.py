"""Claims files: what is accepted, and one clear line for each thing that is not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elbogap.claims import specification
from elbogap.errors import UserError

ROOT = Path(__file__).parents[2]
MONOTONE = {"kind": "monotone", "metric": "kl", "along": "k", "direction": "decreasing"}
RATIO = {"kind": "ratio", "metric": "kl", "column": "method", "numerator": "a", "denominator": "b"}


def test_a_key_given_twice_is_refused(folder: Any, values: Callable[..., dict]) -> None:
    path = folder.write_claims(values())
    path.write_text(f"{path.read_text(encoding='utf-8')}claims: []\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"toy/claims\.yaml: .*key 'claims' is given twice"):
        specification.load(folder.paper)


def test_a_valid_file_is_read_as_written(folder: Any, values: Callable[..., dict]) -> None:
    folder.write_claims(
        values(select={"method": ["a", "b"], "k": 1}, note="why"),
        values(
            id="toy-value",
            check={"kind": "value", "metric": "kl", "per": "method"},
            published={"file": "t.csv", "column": "kl", "by": "k"},
        ),
    )
    (document, first), (same, second) = specification.load(folder.paper)
    assert document == same == "toy"
    assert first.select == {"method": ("a", "b"), "k": (1,)}
    assert first.replicates == ("seed",)
    assert first.at("smoke").tolerance == 0.0
    assert first.at("paper").status == "skip"
    assert second.check.per == ("method",)
    assert second.published.by == ("k",)


def everywhere(asked: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(specification.Scales.model_fields, asked)


BROKEN = {
    "unknown key of a claim": (
        {"tabel": "x.csv"},
        r"unknown key 'tabel' \(did you mean 'table'\?\); allowed here: check, exact, id, item",
    ),
    "unknown key of a check": (
        {"check": MONOTONE | {"metrc": "kl"}},
        r"unknown key 'check\.metrc' \(did you mean 'metric'\?\); allowed here: along, direction, kind",
    ),
    "unknown kind": (
        {"check": MONOTONE | {"kind": "trend"}},
        r"bad value for 'check\.kind': allowed are 'ordering', 'value', .*, 'bound' \(got 'trend'\)",
    ),
    "no kind": ({"check": {"metric": "kl"}}, r"missing key 'check\.kind'"),
    "missing metric": (
        {"check": {"kind": "monotone", "along": "k", "direction": "decreasing"}},
        r"missing key 'check\.metric'",
    ),
    "bad direction": (
        {"check": MONOTONE | {"direction": "down"}},
        r"bad value for 'check\.direction': .*'down'",
    ),
    "no statement": ({"statement": None}, r"missing key 'statement'"),
    "unknown scale": (
        {"scales": {"smoke": {"status": "skip"}, "huge": {"status": "skip"}}},
        r"unknown key 'scales\.huge'; allowed here: laptop, paper, smoke, workstation",
    ),
    "unsaid scale": (
        {"scales": {"smoke": {"status": "skip"}, "laptop": {"status": "skip"}}},
        r"missing key 'scales\.paper'",
    ),
    "unknown status": (
        {"scales": everywhere({"status": "maybe"})},
        r"bad value for 'scales\.smoke\.status': .*'require', 'report' or 'skip'.*'maybe'",
    ),
    "no tolerance": (
        {"scales": everywhere({"status": "require"})},
        r"bad value for 'scales\.smoke': missing key 'tolerance' \(status is require\)",
    ),
    "negative tolerance": (
        {"scales": everywhere({"status": "require", "tolerance": -1})},
        r"bad value for 'scales\.smoke\.tolerance': .*greater than or equal to 0",
    ),
    "infinite tolerance": (
        {"scales": everywhere({"status": "require", "tolerance": float("inf")})},
        r"bad value for 'scales\.smoke\.tolerance': .*finite",
    ),
    "id not kebab": ({"id": "Toy KL"}, r"claim Toy KL: bad value for 'id': "),
    "table outside the results": ({"table": "../x.csv"}, r"bad value for 'table': "),
    "value without a published one": (
        {"check": {"kind": "value", "metric": "kl"}},
        r"a check of kind value needs the key 'published'",
    ),
    "published without source": ({"published": {"value": 1.0}}, r"missing key 'published\.source'"),
    "published file for a trend": (
        {"published": {"file": "t.csv", "column": "kl", "by": "method"}},
        r"published\.file belongs to checks of kind value",
    ),
    "published file elsewhere": (
        {"published": {"file": "../t.csv", "column": "kl", "by": "method"}},
        r"bad value for 'published\.file': ",
    ),
    "empty selection list": ({"select": {"method": []}}, r"bad value for 'select\.method': "),
    "one level in an order": (
        {"check": {"kind": "ordering", "metric": "kl", "column": "m", "order": ["a"]}},
        r"bad value for 'check\.order': ",
    ),
    "a level twice": (
        {"check": {"kind": "ordering", "metric": "kl", "column": "m", "order": ["a", "b", "a"]}},
        r"bad value for 'check': 'order' names a level twice",
    ),
    "ratio without limits": ({"check": RATIO}, r"bad value for 'check': give 'low', 'high' or both"),
    "ratio of a level to itself": (
        {"check": RATIO | {"denominator": "a", "low": 1}},
        r"bad value for 'check': 'numerator' and 'denominator' are the same level",
    ),
    "ratio upside down": (
        {"check": RATIO | {"low": 2, "high": 1}},
        r"bad value for 'check': 'low' is larger than 'high'",
    ),
    "bound without limits": (
        {"check": {"kind": "bound", "metric": "kl"}},
        r"bad value for 'check': give 'lower', 'upper' or both",
    ),
    "no nature": ({"nature": None}, r"missing key 'nature'"),
    "a finding that must come out": (
        {"nature": "finding"},
        r"a finding cannot be required, only reported: it may come out either way",
    ),
    "replicates and their error": (
        {"exact": False, "standard_error": "kl_se"},
        r"'standard_error' stands for 'replicates'; exact numbers have none",
    ),
    "one column, two roles": ({"replicates": "k"}, r"column 'k' has two roles"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_claim_is_one_line_with_file_claim_and_key(
    folder: Any, values: Callable[..., dict], case: str
) -> None:
    changes, message = BROKEN[case]
    path = folder.write_claims(values(id="toy-good"), values(**changes))
    with pytest.raises(UserError, match=message) as caught:
        specification.load(folder.paper)
    assert str(caught.value).startswith(f"{path}: claim {changes.get('id', 'toy-kl-falls')}: ")
    assert "\n" not in str(caught.value)


def test_a_claim_without_id_is_named_by_its_place(folder: Any, values: Callable[..., dict]) -> None:
    folder.write_claims(values(), values(id=None))
    with pytest.raises(UserError, match="claim number 2: missing key 'id'"):
        specification.load(folder.paper)


def test_an_id_is_used_once_over_all_documents(folder: Any, values: Callable[..., dict]) -> None:
    folder.write_claims(values())
    folder.write_claims(values(), document="other")
    with pytest.raises(
        UserError, match=r"toy/claims\.yaml: claim toy-kl-falls: id is used twice \(first in .*other/claims"
    ):
        specification.load(folder.paper)


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list\n", ""])
def test_a_file_that_is_no_mapping_is_one_line(folder: Any, text: str) -> None:
    folder.write_claims().write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"toy/claims\.yaml: ") as caught:
        specification.load(folder.paper)
    assert "\n" not in str(caught.value)


def test_the_files_needed_leave_out_skipped_claims(folder: Any, values: Callable[..., dict]) -> None:
    by_rows = {"file": "t.csv", "column": "kl", "by": "k"}
    claims = folder.write_claims(
        values(),
        values(id="toy-again"),
        values(
            id="toy-value", table="toy/other.csv", check={"kind": "value", "metric": "kl"}, published=by_rows
        ),
    )
    tables = ["results/smoke/toy/other.csv", "results/smoke/toy/tab.csv"]
    assert specification.tables_needed(folder.paper, "smoke") == tables
    published = folder.paper / "toy/published/t.csv"
    assert specification.texts_needed(folder.paper, "smoke") == [str(claims), str(published)]
    assert specification.tables_needed(folder.paper, "paper") == []
    assert specification.texts_needed(folder.paper, "paper") == [str(claims)]


def test_a_scale_of_ones_own_needs_the_tables_of_all_claims(folder: Any, values: Callable[..., dict]) -> None:
    skipped = everywhere({"status": "skip"})
    folder.write_claims(values(), values(id="toy-skipped", table="toy/other.csv", scales=skipped))
    assert specification.tables_needed(folder.paper, "smoke") == ["results/smoke/toy/tab.csv"]
    assert specification.tables_needed(folder.paper, "mine") == [
        "results/mine/toy/other.csv", "results/mine/toy/tab.csv",
    ]  # fmt: skip


def test_a_workstation_is_asked_what_the_paper_s_scale_is_unless_a_claim_says_otherwise(
    folder: Any, values: Callable[..., dict]
) -> None:
    scales = values()["scales"] | {"paper": {"status": "report", "tolerance": 0.5}}
    own = scales | {"workstation": {"status": "skip"}}
    folder.write_claims(values(scales=scales), values(id="toy-own", scales=own))
    (_, claim), (_, other) = specification.load(folder.paper)
    assert claim.at("workstation") == claim.at("paper")
    assert claim.at("workstation").tolerance == 0.5
    assert other.at("workstation").status == "skip"
    assert specification.tables_needed(folder.paper, "workstation") == ["results/workstation/toy/tab.csv"]


def test_reading_claims_imports_neither_torch_nor_pandas() -> None:
    code = "import sys, elbogap.claims.specification, elbogap.claims.commands; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    assert not {"torch", "pandas", "numpy"} & set(answer.stdout.split())


@pytest.mark.parametrize("scale", specification.Scales.model_fields)
def test_the_documents_own_claims_load_and_their_published_files_exist(scale: str) -> None:
    texts = specification.texts_needed(ROOT / "paper", scale)
    assert [text for text in texts if not Path(text).is_file()] == []


def test_the_guide_shows_a_valid_claim_and_every_kind(tmp_path: Path) -> None:
    guide = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    (tmp_path / "qiw").mkdir()
    text = guide.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "qiw/claims.yaml").write_text(text, encoding="utf-8")
    assert specification.load(tmp_path)[0][1].id == "qiw-kl-falls-with-k"
    for kind in ("ordering", "value", "ratio", "monotone", "bound"):
        assert f"\n| `{kind}` |" in guide
