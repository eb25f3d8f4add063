"""The verdicts as one self-contained page: each shown by word, sign and colour, and all text escaped."""

from pathlib import Path

import jinja2
import pandas as pd

from elbogap.claims.engine import NOT_ASSESSED, NOT_REPRODUCED, REPRODUCED

# Sign, text colour and background: blue and vermilion differ under all common colour-vision deficiencies.
_LOOKS = {
    REPRODUCED: ("✓", "#ffffff", "#005a8c"),
    NOT_REPRODUCED: ("✗", "#ffffff", "#a84300"),
    NOT_ASSESSED: ("–", "#333333", "#e3e3e3"),
}


def page(verdicts: pd.DataFrame, scale: str) -> str:
    """The page for a table of verdicts, grouped by document (:func:`elbogap.claims.engine.assess_all`)."""
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
    )
    return environment.get_template("page.html.jinja").render(
        scale=scale,
        looks=_LOOKS,
        counts={verdict: (verdicts["verdict"] == verdict).sum() for verdict in _LOOKS},
        documents={key: rows.to_dict("records") for key, rows in verdicts.groupby("document", sort=False)},
    )
