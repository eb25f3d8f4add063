"""Decide all claims of a scale and write the verdicts; their provenance names the tables they rest on."""

from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd

from elbogap import provenance, tables
from elbogap.checksums import sha256
from elbogap.claims import engine, specification
from elbogap.claims.engine import NOT_ASSESSED, NOT_REPRODUCED, REPRODUCED
from elbogap.errors import UserError

# Sign, text colour and background: blue and vermilion differ under all common colour-vision deficiencies.
LOOKS = {
    REPRODUCED: ("✓", "#ffffff", "#005a8c"),
    NOT_REPRODUCED: ("✗", "#ffffff", "#a84300"),
    NOT_ASSESSED: ("–", "#333333", "#e3e3e3"),
}


def decide(
    scale: str, results: Path, paper: Path, outputs: Mapping[str, Path], *, partial: bool
) -> pd.DataFrame:
    """The verdicts (:func:`engine.assess_all`), also written to the outputs `csv` and `html` as far as given.

    Raises:
        UserError: there are no claims in `paper`, or one cannot be decided.
    """
    claims = specification.load(paper)
    if not claims:
        raise UserError(f"{paper}: no claims here; they are files <document>/claims.yaml")
    needed = map(Path, specification.tables_needed(paper, scale, results))
    digests = {str(path): provenance.verify(path) for path in needed if path.is_file()}
    verdicts = engine.assess_all(claims, scale, results, paper, partial=partial)
    texts = {text: sha256(Path(text)) for text in specification.texts_needed(paper, scale)}
    source = provenance.source(__name__)
    record = provenance.collect(source=source, scale=scale, inputs=digests | texts)
    writers = {
        "csv": lambda path: tables.save(verdicts, path),
        "html": lambda path: path.write_text(page(verdicts, scale), encoding="utf-8"),
    }
    provenance.publish(record, {path: writers[kind] for kind, path in outputs.items()})
    return verdicts


def page(verdicts: pd.DataFrame, scale: str) -> str:
    """One self-contained HTML page, grouped by document; all text is escaped."""
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
    )
    return environment.get_template("page.html.jinja").render(
        scale=scale,
        looks=LOOKS,
        counts={verdict: (verdicts["verdict"] == verdict).sum() for verdict in LOOKS},
        documents={key: rows.to_dict("records") for key, rows in verdicts.groupby("document", sort=False)},
    )
