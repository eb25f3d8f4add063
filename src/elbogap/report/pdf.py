"""Typeset the report: sources, data and figures are copied to one folder, and the PDF has no date."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import typst

from elbogap.errors import UserError


def typeset(
    report: Mapping[str, Any], sources: Path, work: Path, form: Literal["pdf", "png", "html"] = "pdf"
) -> list[bytes]:
    """The report (:func:`~elbogap.report.gather.gather`) as one file, or as one picture per page.

    Equal data, sources and figures (paths in `work`) give equal bytes: only Typst's own fonts are used.
    UserError, with Typst's own message, if it refuses the sources, the notes or a figure.
    """
    targets = [target for document in report["documents"] for target in document["targets"]]
    with tempfile.TemporaryDirectory() as name:
        stage = Path(name)
        for path in sources.glob("*.typ"):
            shutil.copy(path, stage)
        (stage / "report.json").write_text(json.dumps(report), encoding="utf-8")
        for image in (
            target["products"][0] for target in targets if target["kind"] == "figure" and target["products"]
        ):
            (stage / image).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(work / image, stage / image)
        try:
            made: bytes | list[bytes] = typst.compile(
                stage / "report.typ",
                root=stage,
                format=form,
                ignore_system_fonts=True,
                timestamp=0,
                sys_inputs={"form": form},
            )
        except typst.TypstError as error:
            raise UserError(f"the report cannot be typeset: {error}") from error
    return [made] if isinstance(made, bytes) else made
