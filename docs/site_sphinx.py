"""What Sphinx is taught: the parts of pages, docstrings in plain text, formulas as MathML."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
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
_ROLE_CODE_OR_MARK = re.compile(r"(:[a-z]+:`[^`]+`)|``?([^`]+)``?|([*_|\\])")


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
    """Docstrings are plain text with roles, and code in backticks: every other mark stands for itself."""

    def escaped(match: re.Match[str]) -> str:
        role, code, mark = match.groups()
        return role or (f"``{code}``" if code else f"\\{mark}")

    lines[:] = _ROLE_CODE_OR_MARK.sub(escaped, "\n".join(lines)).split("\n")


def visit_math(writer: Any, node: nodes.math) -> None:
    """A formula in a line as MathML, which browsers show by themselves."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_math_block(writer: Any, node: nodes.math_block) -> None:
    """A formula by itself."""
    writer.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry into an extension."""
    app.connect("source-read", fill_parts)
    app.connect("autodoc-process-docstring", escape_docstring, priority=100)  # before napoleon
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
