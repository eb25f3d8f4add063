"""Markdown as a tree of plain data, which the Typst side (`paper/markdown.typ`) turns into content.

The words travel as strings, never as Typst source, so nothing in them needs escaping.
"""

from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from elbogap.errors import UserError

Node = dict[str, Any]

SHOWN = {
    "root", "inline", "text", "softbreak", "hardbreak", "paragraph", "heading", "blockquote", "hr", "em",
    "strong", "link", "code_inline", "code_block", "fence", "bullet_list", "ordered_list", "list_item",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
"""The kinds of node that paper/markdown.typ has a line for."""


def parse(text: str) -> Node:
    """The tree of a CommonMark text with tables, without HTML: `{kind, level, text, link, align, children}`.

    Raises:
        UserError: the text uses something that the report cannot show, such as a picture.
    """
    return _node(SyntaxTreeNode(MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)))


def _node(node: SyntaxTreeNode) -> Node:
    if node.type not in SHOWN:
        raise UserError(
            f"the report cannot show this Markdown: {node.type}; write it in words, lists or tables"
        )
    result: Node = {"kind": node.type, "children": [_node(child) for child in node.children]}
    if node.type in ("text", "code_inline", "code_block", "fence"):
        result["text"] = node.content.rstrip("\n")
    elif node.type == "heading":
        result["level"] = int(node.tag[1:])
    elif node.type == "link":
        result["link"] = str(node.attrs["href"])
    elif node.type in ("th", "td"):
        result["align"] = str(node.attrs.get("style", "text-align:left")).removeprefix("text-align:")
    return result
