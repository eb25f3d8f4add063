"""The documents and their targets: each figure and table has a caption file, and those files are the list."""

import re
from dataclasses import dataclass
from pathlib import Path

from elbogap.config.yaml_file import read_yaml
from elbogap.errors import UserError

_NAME = re.compile(r"(?P<kind>fig|tab)(?P<number>\d+)?_\w+")


@dataclass(frozen=True)
class Document:
    """A replicated document, as `paper/documents.yaml` describes it."""

    key: str
    title: str
    authors: str
    year: int
    venue: str
    url: str


@dataclass(frozen=True)
class Target:
    """One figure or table of a document, or the report on all of them.

    Attributes:
        document: key of the document, e.g. `qiw`.
        name: stem of the files, e.g. `fig01_posterior_2d`.
        label: the number in the document, e.g. `Figure 1`; what the document does not have is `Additional`.
        kind: `figure`, `table` or `report`.
        caption: what it shows, in plain text.
    """

    document: str
    name: str
    label: str
    kind: str
    caption: str

    def files(self, scale: str) -> list[str]:
        """Its files at a scale, relative to the folder of a run: a figure's PDF and PNG, a table's CSV."""
        if self.kind == "report":
            return [f"results/{scale}/report.pdf"]
        if self.kind == "figure":
            return [f"figures/{scale}/{self.document}/{self.name}.{suffix}" for suffix in ("pdf", "png")]
        return [f"results/{scale}/{self.document}/{self.name}.csv"]

    @property
    def title(self) -> str:
        """The caption's first sentence, without its full stop."""
        return re.split(r"\.\s+(?=[A-Z])", self.caption, maxsplit=1)[0].rstrip(".")


REPORT = Target("all", "report", "Report", "report", "All figures, tables and verdicts in one document.")


def documents(path: Path) -> list[Document]:
    """The documents in the order of the file.

    Raises:
        UserError: the file cannot be read or lacks a field.
    """
    try:
        return [Document(key=key, **fields) for key, fields in read_yaml(path).items()]
    except (OSError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: not a list of documents ({error})") from error


def targets(captions: Path, document: str) -> list[Target]:
    """The targets of one document that have a caption: figures, then tables, each by number."""
    found = (
        target(document, path.stem.removeprefix(f"{document}_"), plain_text(path.read_text(encoding="utf-8")))
        for path in sorted(captions.glob(f"{document}_*.rst"))
    )
    return [one for one in found if one is not None]


def everything(path: Path, captions: Path) -> list[Target]:
    """The targets of all documents of the file, and the report."""
    return [*(one for document in documents(path) for one in targets(captions, document.key)), REPORT]


def target(document: str, name: str, caption: str) -> Target | None:
    """The target of a name such as `fig01_posterior_2d`, or None for names that are no figure or table."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind = {"fig": "figure", "tab": "table"}[match["kind"]]
    label = f"{kind.title()} {int(match['number'])}" if match["number"] else f"Additional {kind}"
    return Target(document, name, label, kind, caption)


def plain_text(rst: str) -> str:
    """The words of a caption in reStructuredText, without markup."""
    from docutils import nodes
    from docutils.core import publish_doctree

    tree = publish_doctree(rst, settings_overrides={"report_level": 5, "file_insertion_enabled": False})
    paragraphs = [" ".join(node.astext().split()) for node in tree.findall(nodes.paragraph)]
    return " ".join(paragraphs)
