"""The forms in which a released passport is handed out, and which of them a request wants."""

from __future__ import annotations

import io
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import rfc8785

from battery_pilot.errors import InputError
from battery_pilot.outbox import file_below, file_name
from battery_pilot.passport.aasx import pack
from battery_pilot.passport.value_only import value_only
from battery_pilot.services.aas_values import file_elements

if TYPE_CHECKING:
    from pathlib import Path


class Form(StrEnum):
    """What the answer holds."""

    BUNDLE = "bundle"
    """The view with its history and signature, as consumers verify it."""
    AAS = "aas"
    """The view as AAS environment, canonical JSON."""
    VALUES = "values"
    """The view's values alone."""
    AASX = "aasx"
    """The view as AASX package, with the files of its tier."""


MEDIA_TYPES = {
    Form.BUNDLE: "application/vnd.battery-pilot.bundle+json",
    Form.AAS: "application/json",
    Form.VALUES: "application/json;content=value",
    Form.AASX: "application/asset-administration-shell-package",
}
_PREFERENCE = (Form.BUNDLE, Form.AAS, Form.VALUES, Form.AASX)
"""Which form a request gets that takes several equally gladly: the one that can be verified comes first."""


def wanted_form(accept: str | None, name: str | None) -> Form | None:
    """Return the form that a request wants; ``None`` if there is no such form.

    :param accept: the header ``Accept`` (RFC 9110, section 12.5.1); without it anything will do.
    :param name: a form by its name, for connectors that pass no header on; it goes before the header.
    :raises InputError: no form has that name.
    """
    if name is not None:
        if name not in set(Form):
            raise InputError(f"no form {name[:40]!r}; known are {', '.join(Form)}")
        return Form(name)
    ranges = [_range(part) for part in (accept or "*/*").split(",") if part.strip()]
    scores = {form: _score(MEDIA_TYPES[form], ranges) for form in _PREFERENCE}
    best = max(_PREFERENCE, key=lambda form: scores[form])
    return best if scores[best] > 0 else None


def content(path: Path, form: Form) -> bytes:
    """Return a released bundle in one of its forms; the same bytes for the same bundle."""
    data = path.read_bytes()
    if form is Form.BUNDLE:
        return data
    environment = json.loads(data)["passport"]
    if form is Form.AAS:
        return rfc8785.dumps(environment)
    if form is Form.VALUES:
        return rfc8785.dumps(value_only(environment))
    stream = io.BytesIO()
    pack(stream, rfc8785.dumps(environment), _files(path, environment))
    return stream.getvalue()


def _files(bundle: Path, environment: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
    """Return content type and content of the files that a bundle names and that were released with it."""
    found = {}
    for submodel in environment.get("submodels", ()):
        for _, element in file_elements(submodel):
            name = file_name(element["value"])
            place = bundle.parent.parent / file_below(name) if name else None
            if place is not None and place.is_file():
                found[element["value"]] = (element["contentType"], place.read_bytes())
    return found


def _range(text: str) -> tuple[str, frozenset[str], float]:
    """Read one media range: type, parameters, quality."""
    media_type, *parameters = (part.strip().lower().replace(" ", "") for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                quality = 0.0
    return media_type, frozenset(one for one in parameters if one and not one.startswith("q=")), quality


def _score(offered: str, ranges: list[tuple[str, frozenset[str], float]]) -> float:
    """Return the quality that the most specific matching range gives to a media type; 0 if none matches."""
    media_type, *own = offered.split(";")
    parameters = frozenset(own)
    best = (-1, 0.0)
    for name, wanted, quality in ranges:
        if name == media_type and wanted == parameters:
            best = max(best, (2, quality))
        elif name == f"{media_type.partition('/')[0]}/*" and not wanted:
            best = max(best, (1, quality))
        elif name == "*/*":
            best = max(best, (0, quality))
    return best[1]
