"""Pages in Airflow's web server: the whole story of a run's negotiations and transfers, read only.

Airflow's own login decides who may read them: whoever may read the logs of the consumer DAG.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI
    from starlette.responses import HTMLResponse
    from starlette.types import Receive, Scope, Send

PREFIX = "/battery-pilot"
MOST_CONTRACTS = 200
MOST_EXCHANGES = 500
LONGEST_BODY = 20_000
"""Characters of a body that are shown; ``battery-pilot negotiations show ID --json`` prints all."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;"
    "padding:.6em}.error{color:#a00;font-weight:600}"
)


class Pages:
    """The pages as an ASGI application.

    It is made at the first request: every process of Airflow loads the plugin, and only the web server needs the pages.
    """

    def __init__(self) -> None:
        self._app: FastAPI | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._app is None:
            self._app = create_app()
        await self._app(scope, receive, send)


def story_address(base_url: str, run_id: str) -> str:
    """Return where the story of a run is told.

    :param base_url: of Airflow's web server.
    """
    return f"{base_url.rstrip('/')}{PREFIX}/negotiations?run={quote(run_id, safe='')}"


def create_app() -> FastAPI:
    """Create the application behind :data:`PREFIX`."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI

    may_read = requires_access_dag("GET", DagAccessEntity.TASK_LOGS, "consume_passports")
    app = FastAPI(
        title="Battery Pilot", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_read)]
    )
    app.get("/negotiations", response_model=None)(_run_page)
    app.get("/negotiations/{identifier:path}", response_model=None)(_story_page)
    return app


def _run_page(run: str) -> HTMLResponse:
    """Tell of a run of the consumer DAG."""
    from battery_pilot.pipeline.negotiations import story_of_run
    from battery_pilot_airflow.common import consumer_lake

    try:
        story = story_of_run(consumer_lake(), run, MOST_CONTRACTS)
    except InputError as error:
        return _page("Negotiations", f"<p>{escape(str(error))}</p>", 404)
    shown = len(story["contracts"])
    rest = f" The first {shown} are shown, those with an error first." if shown < story["wanted"] else ""
    lead = (
        f"<p>Run <b>{escape(run)}</b>: {story['wanted']} assets wanted, {story['agreed']} with an agreement, "
        f"{story['failed']} without a result.{rest}</p>"
    )
    return _page("Negotiations", lead + _contracts(story["contracts"]))


def _story_page(identifier: str) -> HTMLResponse:
    """Tell of a negotiation, agreement, transfer, asset or battery."""
    from battery_pilot.pipeline.negotiations import story
    from battery_pilot_airflow.common import consumer_lake

    try:
        found = story(consumer_lake(), identifier)
    except InputError as error:
        return _page("Negotiation", f"<p>{escape(str(error))}</p>", 404)
    contracts, exchanges = found["contracts"], found["exchanges"]
    left_out = len(exchanges) - MOST_EXCHANGES
    note = f"<p>{left_out} earlier messages are left out.</p>" if left_out > 0 else ""
    said = "".join(map(_exchange, exchanges[-MOST_EXCHANGES:])) or "<p>Nothing was said yet.</p>"
    body = f"{_contracts(contracts[:MOST_CONTRACTS])}<h2>What was said</h2>{note}{said}"
    return _page(f"Negotiation: {identifier}", body)


def _contracts(contracts: Iterable[dict[str, Any]]) -> str:
    names = ("asset_id", "counterparty_id", "negotiation_id", "agreement_id", "transfer_id", "error")
    head = "".join(f"<th>{name.removesuffix('_id')}</th>" for name in names)
    return f"<table><tr>{head}</tr>{''.join(_row(names, one) for one in contracts)}</table>"


def _row(names: Iterable[str], contract: dict[str, Any]) -> str:
    cells = []
    for name in names:
        text = escape(contract[name] or "")
        if name == "asset_id":
            text = f'<a href="{PREFIX}/negotiations/{quote(contract[name], safe="")}">{text}</a>'
        cells.append(f'<td class="error">{text}</td>' if name == "error" else f"<td>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _exchange(exchange: dict[str, Any]) -> str:
    status = exchange["status"]
    outcome = "no answer" if status is None else str(status)
    often = f", {exchange['times']} times until {exchange['last_at']}" if exchange["times"] > 1 else ""
    kind = "error" if status is None or status >= 400 else ""
    bodies = "".join(
        f"<p>{name}</p><pre>{escape(_text(exchange[name]))}</pre>"
        for name in ("sent", "received")
        if exchange[name] is not None
    )
    return (
        f"<h3>{escape(exchange['first_at'])} {escape(exchange['method'])} {escape(exchange['url'])} "
        f'<span class="{kind}">{outcome}</span>{escape(often)}</h3>{bodies}'
    )


def _text(body: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body, indent=1, ensure_ascii=False)
    return text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}… ({len(text)} characters)"


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    from starlette.responses import HTMLResponse

    name = escape(title)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{name}</h1>{body}</body></html>",
        status,
        HEADERS,
    )
