"""The script of a spectrum's page, in a real browser."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from battery_pilot.electrochemistry.impedance.drt import relaxation_times
from battery_pilot.figures.spectrum_page import spectrum_page
from battery_pilot.figures.spectrum_view import SpectrumView

PROBE = """
<script>
const svg = document.querySelector("svg"), box = svg.getBoundingClientRect(), seen = document.createElement("ol");
const labels = () => [...svg.querySelectorAll("text")].map(text => text.textContent).join(" ");
const say = text => { seen.append(Object.assign(document.createElement("li"), { textContent: text })); };
const fire = (kind, x, y) => svg.dispatchEvent(new PointerEvent(kind, { clientX: x, clientY: y, pointerId: 1 }));
svg.setPointerCapture = () => {};
const dot = svg.querySelectorAll(".dot")[5].getBoundingClientRect(), whole = labels();
fire("pointermove", dot.x + dot.width / 2, dot.y + dot.height / 2);
say(tip.textContent);
say(document.querySelectorAll("circle[r='5']").length);
fire("pointerdown", box.x + 0.3 * box.width, box.y + 0.3 * box.height);
fire("pointermove", box.x + 0.5 * box.width, box.y + 0.5 * box.height);
fire("pointerup", box.x + 0.5 * box.width, box.y + 0.5 * box.height);
say(labels() !== whole);
svg.dispatchEvent(new MouseEvent("dblclick"));
say(labels() === whole);
say(document.querySelectorAll(".dot").length);
document.body.append(seen);
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


def test_the_page_draws_names_points_and_zooms(browser, tmp_path):
    frequency = np.geomspace(1e3, 0.1, 21)
    impedance = 0.02 + 0.03 / (1 + 2j * np.pi * frequency * 0.02)
    distribution = relaxation_times(frequency, impedance)
    view = SpectrumView(
        "<script>document.body.remove()</script>", frequency, impedance, impedance, "R0-p(R1,C1)", distribution
    )
    (tmp_path / "page.html").write_text(spectrum_page(view).replace("</body>", PROBE + "</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, (tmp_path / "page.html").as_uri()], capture_output=True, timeout=60, check=True
    )
    text = done.stdout.decode()
    seen = [line.removesuffix("</li>") for line in text[text.rindex("<ol>") + 8 : text.rindex("</ol>")].split("<li>")]
    assert seen[0].startswith("100 Hz\nRe ")
    # The frequency is marked in the Nyquist plot, both Bode plots and both residuals; measured points in five series.
    assert seen[1:] == ["5", "true", "true", str(5 * frequency.size)]
