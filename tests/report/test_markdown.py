"""Markdown trees."""

import pytest

from elbogap.errors import UserError
from elbogap.report.markdown import Node, parse


def words(node: Node) -> str:
    return node.get("text", "") + "".join(words(child) for child in node["children"])


def kinds(node: Node) -> set[str]:
    return {node["kind"]}.union(*(kinds(child) for child in node["children"]))


def test_words_arrive_unchanged() -> None:
    assert words(parse("#let $x$ <label> @ref q_IW \\* `#a`")) == "#let $x$ <label> @ref q_IW * #a"


def test_structure() -> None:
    tree = parse(
        "## Protocol\n\n| k | KL |\n|---|---:|\n| 1 | *0.4* |\n\n- **a**\n- [b](c)\n\n```\nx = 1\n```\n"
    )
    assert [child["kind"] for child in tree["children"]] == ["heading", "table", "bullet_list", "fence"]
    assert tree["children"][0]["level"] == 2
    header = tree["children"][1]["children"][0]["children"][0]
    assert [cell["align"] for cell in header["children"]] == ["left", "right"]
    assert {"em", "strong", "link"} <= kinds(tree)
    assert tree["children"][3]["text"] == "x = 1"


def test_what_the_report_cannot_show_is_an_error() -> None:
    with pytest.raises(UserError, match="image"):
        parse("![picture](a.png)")
