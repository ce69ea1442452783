"""Management API v4 of the connector sandbox: the routes of v3, with v4's contexts, types and arrays.

As in EDC 0.15.1, where it is called ``v4beta``: requests need an ``@type``, answers have bare terms and arrays, and there is
no cache of endpoint data references.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from battery_pilot.sandbox.edc_http import invalid
from battery_pilot.sandbox.jsonld import MANAGEMENT_V2_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import Request, Response

_PREFIXES = ("odrl:", "dcat:", "dct:", "dspace:")
_ARRAYS = frozenset(
    {"dataset", "service", "distribution", "hasPolicy", "permission", "prohibition", "obligation", "constraint"}
    | {"callbackAddresses", "events", "assetsSelector"}
)
_NAMES = frozenset({"action", "operator", "leftOperand", "format", "target", "assigner", "assignee"})
_OF_A_DATASET = frozenset({"hasPolicy", "distribution", "id"})


class V4Route(APIRoute):
    """A route whose answers are written as v4 writes them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with both conversions around it."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            if request.method in {"POST", "PUT"}:
                _demand_type(await request.body())
            answer = await handle(request)
            if answer.status_code != HTTPStatus.OK or not answer.body:
                return answer
            return JSONResponse(_outermost(json.loads(bytes(answer.body))))

        return handled


def _demand_type(content: bytes) -> None:
    try:
        body = json.loads(content) if content else {"@type": ""}
    except ValueError:
        return  # the handler says so
    if isinstance(body, dict) and "@type" not in body:
        raise invalid("mandatory value '@type' is missing or it is blank", "@type")


def _outermost(document: Any) -> Any:
    if isinstance(document, list):
        return [_outermost(one) for one in document]
    return {**as_v4(document), "@context": [MANAGEMENT_V2_CONTEXT]}


def as_v4(value: Any, key: str = "") -> Any:
    """Write an answer of v3 as v4 does: bare terms, names as text, arrays where there may be several."""
    if isinstance(value, list):
        return [as_v4(one, key) for one in value]
    if isinstance(value, dict):
        if key in _NAMES and set(value) == {"@id"}:
            return _bare_name(str(value["@id"]), key)
        return _as_node(value)
    return _bare(str(value)) if key == "@type" else value


def _as_node(node: dict[str, Any]) -> dict[str, Any]:
    is_dataset = node.get("@type") == "dcat:Dataset"
    written: dict[str, Any] = {}
    for name, part in node.items():
        term = _bare(name)
        converted = as_v4(part, term)
        if term in _ARRAYS and not isinstance(converted, list):
            converted = [converted]
        is_property = is_dataset and not term.startswith("@") and term not in _OF_A_DATASET
        written[f"edc:{term}" if is_property else term] = converted
    written.pop("@context", None)
    return written


def _bare(name: str) -> str:
    prefix = next((one for one in _PREFIXES if name.startswith(one)), "")
    return name.removeprefix(prefix)


def _bare_name(name: str, key: str) -> str:
    # Of ODRL's own left operands EDC keeps the prefix.
    return name.removeprefix("edc:") if key == "leftOperand" else _bare(name)
