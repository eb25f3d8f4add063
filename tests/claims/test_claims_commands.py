"""The commands as the workflow calls them: files, exit statuses and lines."""

import argparse
import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from elbogap import checksums, provenance
from elbogap.claims import commands
from elbogap.errors import UserError
from published import write_result

Values = Callable[..., dict[str, Any]]
RISING = {"kind": "monotone", "metric": "kl", "along": "k", "direction": "increasing"}


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    commands.register(parser.add_subparsers(required=True))
    options = parser.parse_args([str(word) for word in words])
    return options.call(options) or 0


def decide(folder: Any, scale: str = "smoke") -> int:
    results = folder.results / scale
    return call("claims", "--scale", scale, "--results", folder.results, "--paper", folder.paper,
                "--outputs", f"html={results}/claims.html", f"effects={results}/claims_effects.csv",
                f"csv={results}/claims.csv")  # fmt: skip


def test_a_good_run_writes_both_tables_and_ends_well(
    folder: Any, values: Values, capsys: pytest.CaptureFixture
) -> None:
    folder.write_claims(values(published={"value": 0.15, "source": "p. 2"}))
    assert decide(folder) == 0
    shown = capsys.readouterr().out
    for word in ("Claims at scale smoke", "toy-kl-falls", "reproduced", "0.6, 0.15"):
        assert word in shown
    assert call("claims-check", folder.results / "smoke/claims.csv") == 0
    assert capsys.readouterr().err == ""


def test_a_failed_required_claim_leaves_its_table_and_then_breaks(
    folder: Any, values: Values, capsys: pytest.CaptureFixture
) -> None:
    folder.write_claims(
        values(), values(id="toy-wrong", check=RISING), values(id="toy-[b]", check=RISING) | {"id": "b"}
    )
    assert decide(folder) == 0
    capsys.readouterr()
    assert call("claims-check", folder.results / "smoke/claims.csv") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["claim toy-wrong", "claim b"]
    assert lines[0].startswith(
        "claim toy-wrong: required at smoke, contradicted: measured 0.6, 0.15, tolerance 0"
    )


def test_a_failed_reported_claim_does_not_break(folder: Any, values: Values) -> None:
    folder.write_claims(values(check=RISING))
    folder.write_table(pd.DataFrame({"k": [1, 10], "seed": 0, "kl": [2.0, 1.0]}), "laptop/toy/tab.csv")
    assert decide(folder, "laptop") == 0
    assert call("claims-check", folder.results / "laptop/claims.csv") == 0
    assert "contradicted" in (folder.results / "laptop/claims.csv").read_text(encoding="utf-8")


def test_equal_inputs_are_equal_bytes(folder: Any, values: Values) -> None:
    folder.write_claims(values())
    decide(folder)
    first = [(folder.results / "smoke" / name).read_bytes() for name in ("claims.csv", "claims.html")]
    decide(folder)
    assert first == [(folder.results / "smoke" / name).read_bytes() for name in ("claims.csv", "claims.html")]


def test_provenance_names_every_file_that_was_read(folder: Any, values: Values) -> None:
    claims = folder.write_claims(
        values(),
        values(
            id="toy-value",
            check={"kind": "value", "metric": "kl"},
            published={"file": "tab.csv", "column": "kl", "by": "k"},
        ),
    )
    published = folder.write_published(pd.DataFrame({"k": [1], "kl": [0.6], "source": "p. 2"}))
    decide(folder)
    for name in ("claims.csv", "claims.html"):
        record = json.loads(provenance.path_for(folder.results / "smoke" / name).read_text(encoding="utf-8"))
        assert set(record["inputs"]) == {
            str(path) for path in (claims, published, folder.results / "smoke/toy/tab.csv")
        }


def test_a_broken_claim_writes_nothing(folder: Any, values: Values) -> None:
    folder.write_claims(values(select={"k": 7}))
    with pytest.raises(UserError, match="claim toy-kl-falls"):
        decide(folder)
    assert not list((folder.results / "smoke").glob("claims*"))


def test_mistakes_of_the_call_are_one_line(folder: Any, values: Values) -> None:
    with pytest.raises(UserError, match="no claims here"):
        decide(folder)
    folder.write_claims(values())
    with pytest.raises(UserError, match=r"huge/toy/tab\.csv is missing; build it first"):
        decide(folder, "huge")
    with pytest.raises(UserError, match="--outputs must be csv=FILE effects=FILE html=FILE"):
        call("claims", "--scale", "smoke", "--paper", folder.paper,
             "--outputs", "csv=a.csv", "png=b.png", "effects=c.csv")  # fmt: skip
    with pytest.raises(UserError, match="run the claims command again"):
        call("claims-check", folder.results / "absent.csv")


def test_what_deciding_an_undecided_claim_would_cost_is_told(folder: Any, values: Values) -> None:
    frame = pd.DataFrame({"k": [1, 10] * 3, "seed": [0, 0, 1, 1, 2, 2], "kl": [1.0, 0.9, 1.0, 1.2, 1.0, 0.7]})
    made_by = {
        "inputs": {str(folder.results / "smoke/models.csv"): ""},
        "run": {"wall_s": 1800, "threads": 2},
    }
    write_result(folder.results / "smoke/models.csv", frame, {"inputs": {}, "run": {"wall_s": 3600}})
    write_result(folder.results / "smoke/toy/tab.csv", frame, made_by)
    folder.write_claims(values(exact=None))
    assert decide(folder) == 0
    (row,) = pd.read_csv(folder.results / "smoke/claims.csv").to_dict("records")
    assert (row["verdict"], row["replicates"]) == ("undecided", 3)
    page = " ".join((folder.results / "smoke/claims.html").read_text(encoding="utf-8").split())
    hours = 2 * (row["needed"] / 3 - 1)  # two core-hours for three replicates
    assert f"{row['needed']:.0f} replicates would decide it, {hours:.2g} core-hours more" in page


class Page(HTMLParser):
    """Tags, addresses and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_each_claim_escaped_and_alone(folder: Any, values: Values) -> None:
    folder.write_claims(
        values(statement="KL <script>alert(1)</script> falls & falls.", note='"so" <b>'),
        values(id="toy-wrong", check=RISING, published={"value": 3.25, "source": "Table <9>"}),
        values(id="toy-skipped", scales=values()["scales"] | {"smoke": {"status": "skip"}}),
    )
    folder.write_claims(values(id="other-claim"), document="other")
    decide(folder)
    text = (folder.results / "smoke/claims.html").read_text(encoding="utf-8")
    page = Page(text)
    for claim in ("toy-kl-falls", "toy-wrong", "toy-skipped", "other-claim"):
        assert claim in page.text
        assert ("tr", {"id": claim}) in page.tags
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section"] == ["other", "toy"]
    assert "KL <script>alert(1)</script> falls & falls." in page.text
    assert '"so" <b>' in page.text
    assert "Table <9>" in page.text
    assert not {"script", "b", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not page.addresses
    assert "@import" not in text
    assert "url(" not in text
    badges = [attributes["style"] for tag, attributes in page.tags if attributes.get("class") == "verdict"]
    assert len(badges) == 4 + 4
    assert len(set(badges)) == 4
    for word in ("✓ reproduced", "✗ contradicted", "– not assessed"):
        assert word in " ".join(page.text.split())
    assert "nan" not in page.text
    assert "-0.45" in page.text.split()


@pytest.fixture
def recorded(folder: Any, values: Values) -> Any:
    """A project whose smoke run is recorded, its verdicts and the table behind them."""
    folder.write_claims(values())
    (folder.paper / "report.typ").touch()
    folder.write_table(
        pd.DataFrame({"k": [1, 10], "seed": 0, "kl": [2.0, 1.0]}), "reference/smoke/toy/tab.csv"
    )
    results = folder.results / "reference"
    call("claims", "--scale", "smoke", "--results", results, "--paper", folder.paper,
         "--outputs", f"html={results}/smoke/claims.html", f"effects={results}/smoke/claims_effects.csv",
         f"csv={results}/smoke/claims.csv")  # fmt: skip
    (folder.root / "figures/reference/smoke").mkdir(parents=True)
    list_files(folder)
    return folder


def list_files(folder: Any) -> None:
    for root in ("results", "figures"):
        checksums.write_list(folder.root / root / "reference" / "smoke")


def test_recorded_verdicts_are_verified(recorded: Any, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    assert call("verify", "--project", recorded.root) == 0
    assert capsys.readouterr().out == "smoke: 1 claims, 1 reproduced\n"


def test_verdicts_that_the_tables_do_not_bear_out_are_told(
    recorded: Any, values: Values, capsys: pytest.CaptureFixture
) -> None:
    table = pd.DataFrame({"k": [1, 10], "seed": 0, "kl": [1.0, 2.0]})
    recorded.write_table(table, "reference/smoke/toy/tab.csv")
    recorded.write_claims(values(), values(id="toy-new", check=RISING))
    list_files(recorded)
    assert call("verify", "--project", recorded.root) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("claim toy-kl-falls: required at smoke, contradicted")
    assert lines[1].startswith(
        "smoke: toy-kl-falls: verdict is contradicted, but the record says: reproduced; "
        "measured is 1, 2, but the record says: 2, 1; effect is 1.0, but the record says: -1.0; "
    )
    assert lines[2] == "smoke: toy-new: is not in the record"
    assert lines[3].startswith("smoke: toy-kl-falls, effect 1: value is 1.0, but the record says: -1.0; ")
    assert lines[4:] == ["smoke: toy-new, effect 1: is not in the record"]


def test_a_project_without_a_recorded_run_is_not_verified(
    recorded: Any, capsys: pytest.CaptureFixture
) -> None:
    for root in ("results", "figures"):
        shutil.rmtree(recorded.root / root / "reference" / "smoke")
    assert call("verify", "--project", recorded.root) == 1
    assert "no recorded run" in capsys.readouterr().err


def test_of_an_unfinished_run_only_what_there_is_is_decided(folder: Any, values: Values) -> None:
    folder.write_claims(values(), values(id="toy-later", table="toy/later.csv"))
    results = folder.results / "smoke"
    words = ["claims", "--scale", "smoke", "--results", folder.results, "--paper", folder.paper]
    words += ["--outputs", f"html={results}/claims.html", f"effects={results}/claims_effects.csv"]
    words += [f"csv={results}/claims.csv"]
    with pytest.raises(UserError, match=r"later\.csv is missing"):
        call(*words)
    assert call(*words, "--partial") == 0
    verdicts = pd.read_csv(results / "claims.csv").set_index("id")
    assert verdicts["verdict"].to_dict() == {"toy-kl-falls": "reproduced", "toy-later": "not assessed"}
    assert verdicts.loc["toy-later", "detail"] == "its table is not made at this scale yet"
    assert call("claims-check", results / "claims.csv") == 0
