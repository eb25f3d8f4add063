"""Figures behind a slider, in a notebook or on a page, without a server."""

import html
import io
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from elbogap import style

SCRIPT = """{
const box = document.getElementById(%s), values = %s;
const show = () => {
    const at = Number(box.querySelector("input").value);
    box.querySelector("output").textContent = values[at];
    [...box.querySelectorAll(".frame")].forEach((frame, number) => { frame.hidden = number !== at; });
};
box.querySelector("input").addEventListener("input", show);
show();
}"""


@dataclass(frozen=True)
class Frames:
    """A picture for each value of a quantity."""

    name: str
    values: Sequence[object]
    pictures: Sequence[str]  # SVG

    @classmethod
    def of(cls, name: str, values: Sequence[object], draw: Callable[[object], Figure]) -> "Frames":
        """Draw each value's figure in the project's style."""
        pictures = []
        for value in values:
            with style.applied():
                figure, svg = draw(value), io.StringIO()
                figure.savefig(svg, format="svg")
            plt.close(figure)
            pictures.append("<svg" + svg.getvalue().partition("<svg")[2])
        return cls(name, values, pictures)

    def _repr_html_(self) -> str:
        key = f"frames-{uuid.uuid5(uuid.NAMESPACE_OID, self.pictures[0])}"
        frames = "".join(
            f'<div class="frame" role="img" aria-label="{self.name} = {value}">{picture}</div>'
            for value, picture in zip(self.values, self.pictures, strict=True)
        )
        script = SCRIPT % (json.dumps(key), json.dumps([str(value) for value in self.values]))
        last = len(self.values) - 1
        return (
            f'<div class="frames" id="{key}"><label>{html.escape(self.name)} = <output></output> '
            f'<input type="range" min="0" max="{last}" value="0"></label>{frames}'
            f"<script>{script}</script></div>"
        )
