"""The documents and their targets: each figure and table has a caption file, and those files are the list."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elbogap.config.base import Section, read
from elbogap.errors import UserError
from elbogap.places import visible
from elbogap.scales import DOCUMENTS

_NAME = re.compile(r"(fig|tab)\d*_\w+")
_HEADING = re.compile(r"\*\*(?P<label>[^:*]+): (?P<title>[^*]+)\*\*")


class Document(Section):
    """A replicated document, as `paper/<key>/paper.yaml` describes it."""

    key: str = ""
    title: str
    authors: str
    year: int
    venue: str
    url: str = ""  # none where it is the project's own
    central: tuple[str, ...] = ()  # claims that the first page of README shows
    cover: str | None = None  # a figure that the first page of the report shows
    pictures: tuple[str, ...] = ()  # figures that the report shows large

    @property
    def link(self) -> str:
        """Its title in Markdown, which leads to its address if there is one."""
        return f"[{self.title}]({self.url})" if self.url else self.title


@dataclass(frozen=True)
class Target:
    """One figure or table of a document, or the report on all of them."""

    document: str
    name: str  # stem of the files, e.g. `fig01_posterior_2d`
    label: str  # e.g. `Figure 1`, `Figure 5 (slide 59)` or `Gaps (ours)`
    title: str  # one line without a full stop
    kind: Literal["figure", "table", "report"]
    caption: str = ""  # plain text

    def files(self, scale: str) -> list[str]:
        """Its files at a scale, relative to the folder of a run: a figure's PDF and PNG, a table's CSV."""
        if self.kind == "report":
            return [f"results/{scale}/report.pdf"]
        if self.kind == "figure":
            return [f"figures/{scale}/{self.document}/{self.name}.{suffix}" for suffix in ("pdf", "png")]
        return [f"results/{scale}/{self.document}/{self.name}.csv"]


REPORT = Target("all", "report", "Report", "All figures, tables and verdicts in one document", "report")


def documents(paper: Path) -> list[Document]:
    """The documents with a folder in `paper`, in the order of reading; a UserError if a file is broken."""
    keys = [key for key in DOCUMENTS if (paper / key).is_dir()]
    return [read(Document, paper / key / "paper.yaml").model_copy(update={"key": key}) for key in keys]


def targets(paper: Path, document: str, made: Iterable[Path] = ()) -> list[Target]:
    """The targets of one document: figures, then tables, each by number; those `made` may lack a caption."""
    captions = {path.stem: path for path in visible(paper / document / "captions", "*.rst")}
    found = []
    for name in sorted(captions.keys() | {path.stem for path in made}):
        label, title, caption = "No caption", "This target has no caption file", ""
        if path := captions.get(name):
            label, title = heading(path)
            caption = plain_text(path.read_text(encoding="utf-8").partition("\n")[2])
        if _NAME.fullmatch(name):
            kind: Literal["figure", "table"] = "figure" if name.startswith("fig") else "table"
            found.append(Target(document, name, label, title, kind, caption))
    return found


def everything(paper: Path) -> list[Target]:
    """The targets of all documents, and the report."""
    return [*(target for document in documents(paper) for target in targets(paper, document.key)), REPORT]


def heading(caption: Path) -> tuple[str, str]:
    """Label and title of a figure or table: the first line of its caption must be `**Label: title**`."""
    first = caption.read_text(encoding="utf-8").partition("\n")[0]
    match = _HEADING.fullmatch(first)
    if match is None:
        raise UserError(f"{caption}: the first line must be '**Label: title**', but is '{first[:60]}'")
    return match["label"], match["title"]


def plain_text(rst: str) -> str:
    """The words of a caption in reStructuredText, without markup."""
    from docutils import nodes
    from docutils.core import publish_doctree

    tree = publish_doctree(rst, settings_overrides={"report_level": 5, "file_insertion_enabled": False})
    return " ".join(" ".join(node.astext().split()) for node in tree.findall(nodes.paragraph))
