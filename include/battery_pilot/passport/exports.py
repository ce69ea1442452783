"""Passports in other forms, for those who cannot read an Asset Administration Shell.

What leaves the house is a view: callers hand in ``passport.view(tier)``, or a file that was written from one.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from aas_core3_1 import jsonization, xmlization

from battery_pilot.errors import InputError
from battery_pilot.passport.aas import environment
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.form_facts import facts_of_file, facts_of_view
from battery_pilot.passport.forms import Form, form_rows, write_form
from battery_pilot.passport.model import Tier
from battery_pilot.passport.narrowing import passport_of_file
from battery_pilot.passport.reading import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.parsing import Json
    from battery_pilot.passport.reading import ReadPassport

FORMS = {"value-only": "value-only_1.0", "batterypass": "batterypass_1.2.1", "catena-x": "catena-x_6.1.0"}
"""Name of a form to the name of its table."""

ENVIRONMENTS = ("json", "xml", "aasx")
"""Forms of the Asset Administration Shell itself."""


def export_view(view: Passport, form: str) -> Form:
    """Return a view of a passport in another form.

    :param view: ``passport.view(tier)`` of the reader's tier.
    :param form: ``value-only`` (by idShort of the part, after the SAMM schemas of IDTA 02035), ``batterypass``
        (BatteryPass data model 1.2.1, by aspect) or ``catena-x`` (``battery_pass`` 6.1.0).
    :raises InputError: no such form.
    """
    return write_form(form_rows(_table(form)), facts_of_view(view))


def export_read(passport: ReadPassport, form: str) -> Form:
    """Return a passport that was read in another form; see :func:`export_view`. It is the view that it was written as."""
    return write_form(form_rows(_table(form)), facts_of_file(passport))


def export_file(path: Path, form: str, out: Path, tier: Tier | None = None) -> Form:
    """Write a passport file in another form.

    :param path: the passport, as AASX, AAS JSON or AAS XML.
    :param form: one of :data:`FORMS` or :data:`ENVIRONMENTS`.
    :param out: the file to write; replaced.
    :param tier: narrow it to the view of this tier, without its documents (:mod:`battery_pilot.passport.narrowing`); without
        it, and for authorities, the file is exported as it is.
    :return: what was written and what its schema demands but the passport has not.
    :raises PassportError: the passport cannot be read.
    :raises InputError: no such form.
    """
    passport = read_file(path)
    view = None if tier in {None, Tier.AUTHORITY} else passport_of_file(passport).view(tier)
    if form not in ENVIRONMENTS:
        filled = export_read(passport, form) if view is None else export_view(view, form)
        text = json.dumps(filled.content, ensure_ascii=False, allow_nan=False, indent=2)
        out.write_text(text + "\n", encoding="utf-8")
        return filled
    content = environment_of(passport) if view is None else environment(view)
    if form == "json":
        out.write_bytes(canonical(content))
    elif form == "xml":
        out.write_text(_xml(content), encoding="utf-8")
    else:
        out.write_bytes(_repacked(path, content))
    return Form(content, ())


def environment_of(passport: ReadPassport) -> Json:
    """Return the environment that a passport was read from, its lists sorted by id."""
    content: Json = {"assetAdministrationShells": [passport.shell], "submodels": passport.submodels}
    if passport.concept_descriptions:
        content["conceptDescriptions"] = passport.concept_descriptions
    return content


def _table(form: str) -> str:
    if form not in FORMS:
        raise InputError(f"no form {form!r}; known are {', '.join((*FORMS, *ENVIRONMENTS))}")
    return FORMS[form]


def _xml(content: Json) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xmlization.to_str(
        jsonization.environment_from_jsonable(content)
    )


def _repacked(path: Path, content: Json) -> bytes:
    """Return a package with the environment and the files of the package that it came from."""
    from battery_pilot.passport.aasx import pack

    files: dict[str, tuple[str, bytes]] = {}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as package:
            names = set(package.namelist())
            for location, content_type in _attached(content):
                if location.removeprefix("/") in names:
                    files[location] = (content_type, package.read(location.removeprefix("/")))
    stream = io.BytesIO()
    pack(stream, canonical(content), files)
    return stream.getvalue()


def _attached(node: Any) -> list[tuple[str, str]]:
    """Return location and content type of the files in a package that an environment names, each once."""
    found: dict[str, str] = {}
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            location = one.get("value")
            if one.get("modelType") == "File" and isinstance(location, str) and location.startswith("/"):
                found[location] = str(one.get("contentType") or "application/octet-stream")
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return sorted(found.items())
