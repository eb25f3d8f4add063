"""What Sphinx is taught: the parts of pages, docstrings in plain text, formulas and tables."""

import html
import io
import itertools
import re
from typing import Any

import matplotlib
from docutils import nodes
from matplotlib.mathtext import math_to_image
from site_parts import fill
from sphinx.application import Sphinx

from elbogap.places import Places

# Pages of the site that show a file from elsewhere in the repository: links to the file lead to them.
SHOWN = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "config/README.md": "how-to/settings.md",
    "tests/faults/README.md": "faults.md",
}
_MARKUP = re.compile(r"(:[a-z]+:`[^`]+`)|``?([^`]+)``?|([*_|\\])")


def fill_parts(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the parts of the site into a page, and let links stay on the site."""
    text = fill(source[0], Places.here())
    up = "../" * docname.count("/")
    for file, page in SHOWN.items():
        text = text.replace(f"](../{up}{file}", f"]({up}{page}")
    source[0] = text


def escape_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Docstrings are plain text with roles, code in backticks, and indented formulas and programs.

    Every other mark stands for itself.
    """

    def escaped(match: re.Match[str]) -> str:
        role, code, mark = match.groups()
        return role or (f"``{code}``" if code else f"\\{mark}")

    shown, last, literal = [], "", False
    for before, line in itertools.pairwise(["", *lines]):
        if line.strip():
            indented = line.startswith("    ")
            literal = indented and (literal or not (before.strip() or last.startswith("    ")))
            last = line
        shown.append((literal, line))
    lines.clear()
    for literal, group in itertools.groupby(shown, key=lambda pair: pair[0]):
        text = "\n".join(line for _, line in group)
        lines += ["::", "", *text.split("\n")] if literal else _MARKUP.sub(escaped, text).split("\n")


def formula(tex: str) -> str:
    """A formula as outlines (SVG), at the size and on the baseline of the text around it."""
    svg, style = io.StringIO(), {"mathtext.fontset": "stix", "svg.hashsalt": tex, "savefig.transparent": True}
    with matplotlib.rc_context({**style, "font.size": 100}):
        depth = math_to_image(f"${' '.join(tex.split())}$", svg, format="svg")
    width, height = (
        float(size) / 100 for size in re.findall(r'(?:width|height)="([\d.]+)pt"', svg.getvalue())
    )
    shape = f"width: {width:.3f}em; height: {height:.3f}em; vertical-align: {-depth / 100:.3f}em"
    outlines = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg.getvalue(), flags=re.DOTALL
    )
    opening = f'<svg class="formula" role="img" aria-label="{html.escape(tex)}" style="{shape}" '
    return opening + outlines.partition("<svg ")[2].strip()


def visit_math(writer: Any, node: nodes.math) -> None:
    """A formula in a line."""
    writer.body.append(formula(node.astext()))
    raise nodes.SkipNode


def visit_math_block(writer: Any, node: nodes.math_block) -> None:
    """A formula by itself, whose lines stand below each other."""
    lines = "<br>".join(formula(line) for line in node.astext().split("\\\\"))
    writer.body.append(f'<div class="formula-block">{lines}</div>')
    raise nodes.SkipNode


def widen_columns(app: Sphinx, tree: nodes.document, docname: str) -> None:
    """Mark the cells of columns that have long texts, which would else be narrow towers."""
    for table in tree.findall(nodes.table):
        rows = [list(row.findall(nodes.entry)) for row in table.findall(nodes.row)]
        for cells in zip(*rows, strict=True):
            if max(len(cell.astext()) for cell in cells) > 60:
                for cell in cells:
                    cell["classes"].append("words")


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry into an extension."""
    app.connect("source-read", fill_parts)
    app.connect("autodoc-process-docstring", escape_docstring, priority=100)  # before napoleon
    app.connect("doctree-resolved", widen_columns)
    app.add_html_math_renderer("outlines", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
