"""Open pages in a headless browser, and read what a person would see."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"),
    *("--disable-component-update", "--disable-sync", "--no-first-run", "--virtual-time-budget=60000"),
]
# The page has to carry all it needs: no host has an address.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND"

# Goes before the page's own scripts.
WATCH = """<script>
const problems = [];
const say = event => problems.push(event.message || `cannot load ${event.target.src}`);
window.addEventListener("error", say, true);
</script>"""

# Goes behind them: open each category and result, note the words on the page, put all notes into the page.
WALK = """<script>
(async () => {
    const words = [];
    const drawn = () => new Promise(done => setTimeout(done, 50));
    const note = async () => { await drawn(); words.push(document.body.innerText); };
    await note();
    for (const category of Object.keys(categories)) { app.showCategory(category); await note(); }
    for (const path of Object.keys(results)) { app.showResultInfo(path); await note(); }
    app.setView({navbarMode: "menu", content: "stats"}); await note();
    const seen = document.createElement("template");
    seen.id = "seen";
    seen.setAttribute("data-seen", JSON.stringify({words, problems, results: Object.keys(results)}));
    document.body.append(seen);
})();
</script>"""


class _Seen(HTMLParser):
    data: dict | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs).get("data-seen")
        if found:
            self.data = json.loads(found)


def browser() -> str:
    """The browser's command; without one the test is skipped, or fails under ELBOGAP_REQUIRE_BROWSER=1."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    reason = f"no browser on PATH (looked for {', '.join(BROWSERS)})"
    if os.environ.get("ELBOGAP_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def look(page: Path, scratch: Path, *options: str) -> dict | None:
    """What the scripts of a page left as JSON in an attribute `data-seen`."""
    answer = subprocess.run(
        [browser(), *OPTIONS, OFFLINE, *options, f"--user-data-dir={scratch / 'profile'}", "--dump-dom",
         page.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    parser = _Seen()
    parser.feed(answer.stdout)
    return parser.data


def check_html(report: Path, expected: Iterable[str], scratch: Path) -> list[str]:
    """Assert that a report shows the expected words in some view, and that no script or picture fails.

    Returns the paths of the results in the report.
    """
    page, text = scratch / "walked.html", report.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?://", text), (
        "the report loads from the network"
    )
    assert text.rstrip().endswith("</html>"), "the report is cut off"
    before, _, after = text.rpartition("</body>")
    page.write_text(f"{before.replace('<head>', f'<head>{WATCH}', 1)}{WALK}</body>{after}", encoding="utf-8")
    seen = look(page, scratch)
    assert seen is not None, "the report's scripts did not run to their end"
    assert not seen["problems"], f"the report has errors: {seen['problems']}"
    words = " ".join(" ".join(seen["words"]).split())
    for phrase in expected:
        assert " ".join(phrase.split()) in words, f"the report does not show: {phrase}"
    return seen["results"]
