"""The report of a run: one HTML file with its own figures, to be opened, mailed or printed anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from battery_pilot.report_figures import draw_figures, utc

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

MOST_REJECTS = 50

_TILES = {
    "batteries": "batteries",
    "files_read": "files read",
    "files_rejected": "files set aside",
    "passports_pushed": "passports stored",
    "history_versions": "passport versions",
    "offers_published": "data offers",
    "agreements": "contracts agreed",
    "twins_updated": "twins updated",
    "entities_synced": "entities synchronised",
    "forecasts": "health forecasts",
    "wall_seconds": "from start to end",
}


def write_report(
    path: Path,
    *,
    title: str,
    conditions: pd.DataFrame,
    spectra: pd.DataFrame,
    predictions: pd.DataFrame,
    demands: pd.DataFrame,
    summary: Mapping[str, Any],
) -> None:
    """Write the report as one HTML file that needs no network and no script.

    The same arguments give the same bytes. What is not there (an empty table, a missing key) is said to be absent.

    :param path: the file to write; its folder is made.
    :param title: heading of the page.
    :param conditions: columns ``battery_id, as_of, remaining_capacity_ah, rated_capacity_ah,
        state_of_health_percent, full_equivalent_cycles``; one row a battery and time.
    :param spectra: columns ``battery_id, measured_at, frequency_hertz, real_impedance_ohm,
        imaginary_impedance_ohm``; one row a point.
    :param predictions: columns ``battery_id, for_time, value, lower, upper``: state of health in percent with the ends
        of its 90 % interval.
    :param demands: columns ``category, metric, demand, clause, stated, batteries, reason``, see
        :class:`~battery_pilot.electrochemistry.rules.Coverage`.
    :param summary: ``files_read``, ``files_rejected`` (list of ``{file, reason}``), ``batteries``,
        ``passports_pushed``, ``offers_published``, ``agreements``, ``twins_updated``, ``entities_synced``,
        ``predictions`` (``{count, mae, baseline_mae}``; mean absolute errors in percentage points on data kept out of
        the training), ``history_versions``, ``stages`` (name to seconds) and ``wall_seconds``.
    """
    forecasts: Mapping[str, Any] = summary.get("predictions") or {}
    parts = [*draw_figures(conditions, spectra, predictions, forecasts), _stages(summary)]
    tables = [_demands(demands), _rejects(summary)]
    body = "\n".join([_tiles(summary), '<div class="parts">', *parts, "</div>", *tables])
    write_page(path, title, _period(conditions), body)


def write_page(path: Path, title: str, lead: str, body: str) -> None:
    """Write one HTML file that needs no network and no script.

    :param path: the file to write; its folder is made.
    :param title: plain text, also the heading.
    :param lead: HTML under the heading.
    :param body: HTML of the page; the classes ``tiles`` (of a list) and ``parts`` (round figures) are styled.
    """
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><p class="brand">Battery Pilot</p><h1>{escape(title)}</h1>{lead}</header>\n'
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _period(conditions: pd.DataFrame) -> str:
    if conditions.empty:
        return "<p>No battery condition was recorded.</p>"
    times = utc(conditions["as_of"])
    return f"<p>Battery conditions from {times.min():%d %B %Y} to {times.max():%d %B %Y}, times in UTC.</p>"


def _tiles(summary: Mapping[str, Any]) -> str:
    tiles = []
    counts = dict(summary, forecasts=(summary.get("predictions") or {}).get("count"))
    for key, label in _TILES.items():
        value = counts.get(key)
        if value is not None:
            shown = _duration(value) if key == "wall_seconds" else f"{_count(value):,}".replace(",", "\u202f")
            tiles.append(f"<li><strong>{shown}</strong> {label}</li>")
    return f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else "<p>No counts were recorded.</p>"


def _stages(summary: Mapping[str, Any]) -> str:
    stages: Mapping[str, float] = summary.get("stages") or {}
    if not stages:
        return _section("Where the time went", "<p>No stage times were recorded.</p>")
    longest = max(*stages.values(), 1e-9)
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td class="number">{_duration(seconds)}</td>'
        f'<td class="bar" aria-hidden="true"><span style="width:{100.0 * seconds / longest:.1f}%"></span></td></tr>'
        for name, seconds in stages.items()
    )
    head = '<tr><th scope="col">Stage</th><th scope="col" class="number">Time</th><td></td></tr>'
    return _section("Where the time went", f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")


def _rejects(summary: Mapping[str, Any]) -> str:
    rejects: Sequence[Mapping[str, str]] = summary.get("files_rejected") or ()
    if not rejects:
        return _section("Files set aside", "<p>None: every file was read.</p>" if "files_rejected" in summary else "")
    rows = "".join(
        f'<tr><th scope="row">{escape(str(one["file"]))}</th><td>{escape(str(one["reason"]))}</td></tr>'
        for one in rejects[:MOST_REJECTS]
    )
    more = f"<p>… and {len(rejects) - MOST_REJECTS} more.</p>" if len(rejects) > MOST_REJECTS else ""
    head = '<tr><th scope="col">File</th><th scope="col">Reason</th></tr>'
    lead = "<p>These files could not be used. They stay where they are; every other file was processed.</p>"
    return _section("Files set aside", f"{lead}<table><thead>{head}</thead><tbody>{rows}</tbody></table>{more}")


def _demands(demands: pd.DataFrame) -> str:
    heading = "What must be stated, and what the data give"
    if demands.empty:
        return _section(heading, "")
    rows = "".join(
        f'<tr><th scope="row">{escape(str(one.metric))}</th><td>{escape(str(one.category))}</td><td>{escape(str(one.demand))}</td>'
        f'<td>{escape(str(one.clause))}</td><td class="number">{one.stated} of {one.batteries}</td>'
        f"<td>{escape(str(one.reason))}</td></tr>"
        for one in demands.itertuples(index=False)
    )
    names = ("Value", "Category", "Demand", "DIN DKE SPEC 99100", "Stated", "Why not")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    lead = "<p>Newest state of every battery. What is not stated is absent from the passport, never estimated.</p>"
    return _section(heading, f"{lead}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content or '<p>Not recorded.</p>'}</section>"


def _count(value: object) -> int:
    return len(value) if isinstance(value, Sequence) else int(str(value))


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


_STYLE = """
:root{--paper:#fff;--card:#f6f8fa;--ink:#1b2733;--soft:#51606f;--faint:#8a96a3;--line:#dde3e9;
--hue0:#0072b2;--hue1:#d55e00;--hue2:#009e73;--hue3:#b0569b;--hue4:#b07d00;--hue5:#3d9bd1}
@media (prefers-color-scheme:dark){:root{--paper:#12171c;--card:#1a2129;--ink:#e6ebf0;--soft:#a5b1bd;--faint:#7b8794;
--line:#2c3742;--hue0:#4cb0ea;--hue1:#ff8a3d;--hue2:#2fcf9f;--hue3:#e08fce;--hue4:#e6b63c;--hue5:#8fd0f5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:2rem clamp(1rem,4vw,3rem) 4rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{border-bottom:3px solid var(--hue0);margin-bottom:1.5rem}
header p,figcaption,section p{color:var(--soft)}
.brand{margin:0;font-weight:600;letter-spacing:.04em;color:var(--hue0)!important}
h1{margin:.1rem 0;font-size:clamp(1.5rem,4vw,2.2rem);line-height:1.2}
h2{margin:0 0 .6rem;font-size:1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:0 0 1.5rem;padding:0;
list-style:none}
.tiles li{padding:.8rem 1rem;background:var(--card);border:1px solid var(--line);border-radius:.6rem;color:var(--soft)}
.tiles strong{display:block;font-size:1.55rem;line-height:1.2;color:var(--ink);font-variant-numeric:tabular-nums}
.parts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure,section{margin:0;padding:1.1rem 1.2rem;border:1px solid var(--line);border-radius:.6rem;break-inside:avoid}
figure.impedance{grid-column:1/-1}
figure svg{display:block;width:100%;height:auto}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figcaption{font-size:.9rem;margin-top:.6rem}
section{overflow-x:auto}
.parts~section{margin-top:1rem}
table{width:100%;border-collapse:collapse;font-size:.93rem}
th,td{padding:.4rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody th{font-weight:500;overflow-wrap:anywhere}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.bar{width:50%;vertical-align:middle}
.bar span{display:block;height:.6rem;min-width:2px;border-radius:.3rem;background:var(--hue0)}
@media print{body{max-width:none;padding:0}}
"""
