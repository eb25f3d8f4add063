"""The verdicts as one self-contained page: each told by word, sign and colour, and all text escaped."""

import jinja2
import pandas as pd

from elbogap.claims.engine import NOT_ASSESSED, NOT_REPRODUCED, REPRODUCED

# Sign, text colour and ground: blue and vermilion differ under all common colour-vision deficiencies.
_LOOKS = {
    REPRODUCED: ("✓", "#ffffff", "#005a8c"),
    NOT_REPRODUCED: ("✗", "#ffffff", "#a84300"),
    NOT_ASSESSED: ("–", "#333333", "#e3e3e3"),
}

_PAGE = """\
{% macro badge(verdict) %}
<span class="verdict" style="color: {{ looks[verdict][1] }}; background: {{ looks[verdict][2] }}">
{{- looks[verdict][0] }} {{ verdict }}</span>
{%- endmacro %}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Claims at scale {{ scale }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
body { margin: 2rem auto; max-width: 78rem; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; min-width: 64rem; }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem; border-bottom: 1px solid #d0d0d0; }
th { border-bottom: 2px solid #555; }
code { font-size: .85em; color: #444; }
.small { font-size: .87em; color: #444; margin: .2rem 0 0; }
.verdict { display: inline-block; padding: .1rem .5rem; border-radius: .3rem; }
.verdict { white-space: nowrap; font-weight: 600; }
</style>
</head>
<body>
<h1>Claims at scale {{ scale }}</h1>
<p>{% for verdict in looks %}{{ badge(verdict) }} {{ counts[verdict] }}&ensp;{% endfor %}</p>
<p class="small">A required claim that is not reproduced breaks the build. Spread is the standard deviation,
over replicates, of what decides: a value, a ratio, a step, or the distance to a bound. The criterion
includes the tolerance and must be met in each group; measured is the group that decides.</p>
{% for document, rows in documents.items() %}
<section id="{{ document }}">
<h2>{{ document }}</h2>
<div class="scroll"><table>
<colgroup><col style="width: 13%"><col style="width: 24%"><col style="width: 9%"><col style="width: 14%">
<col style="width: 18%"><col style="width: 6%"><col style="width: 10%"><col style="width: 6%"></colgroup>
<thead><tr>
<th scope="col">Verdict</th><th scope="col">Claim</th><th scope="col">Where</th>
<th scope="col">Criterion</th><th scope="col">Measured</th><th scope="col">Spread</th>
<th scope="col">Published</th><th scope="col">Status</th>
</tr></thead>
<tbody>
{% for row in rows %}
<tr id="{{ row.id }}">
<td>{{ badge(row.verdict) }}</td>
<td>{{ row.statement }}<div class="small"><code>{{ row.id }}</code> ({{ row.kind }})</div>
{% if row.note %}<p class="small">{{ row.note }}</p>{% endif %}</td>
<td>{{ row.item }}</td>
<td>{{ row.criterion }}</td>
<td>{{ row.measured }}
<p class="small">{{ row.detail }}</p></td>
<td>{% if row.spread == row.spread %}{{ "%.2g" % row.spread }}{% endif %}</td>
<td>{{ row.published }}{% if row.source %}<p class="small">{{ row.source }}</p>{% endif %}</td>
<td>{{ {"require": "required", "report": "reported", "skip": "skipped"}[row.status] }}</td>
</tr>
{% endfor %}
</tbody>
</table></div>
</section>
{% endfor %}
</body>
</html>
"""


def page(verdicts: pd.DataFrame, scale: str) -> str:
    """The page for a table of verdicts, grouped by document (:func:`elbogap.claims.engine.assess_all`)."""
    counts = verdicts["verdict"].value_counts()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_PAGE).render(
        scale=scale,
        looks=_LOOKS,
        counts={word: int(counts.get(word, 0)) for word in _LOOKS},
        documents={
            str(document): rows.to_dict("records")
            for document, rows in verdicts.groupby("document", sort=False)
        },
    )
