"""Markdown trees."""

from typing import Any

from elbogap.report.gather import markdown_tree


def words(node: dict[str, Any]) -> str:
    return node.get("text", "") + "".join(words(child) for child in node["children"])


def kinds(node: dict[str, Any]) -> set[str]:
    return {node["kind"]}.union(*(kinds(child) for child in node["children"]))


def test_words_arrive_unchanged() -> None:
    assert words(markdown_tree("#let $x$ <label> @ref q_IW \\* `#a`")) == "#let $x$ <label> @ref q_IW * #a"


def test_structure() -> None:
    tree = markdown_tree(
        "## Protocol\n\n| k | KL |\n|---|---:|\n| 1 | *0.4* |\n\n- **a**\n- [b](c)\n\n```\nx = 1\n```\n"
    )
    assert [child["kind"] for child in tree["children"]] == ["heading", "table", "bullet_list", "fence"]
    assert tree["children"][0]["level"] == 2
    header = tree["children"][1]["children"][0]["children"][0]
    assert [cell["align"] for cell in header["children"]] == ["left", "right"]
    assert {"em", "strong", "link"} <= kinds(tree)
    assert tree["children"][3]["text"] == "x = 1"
