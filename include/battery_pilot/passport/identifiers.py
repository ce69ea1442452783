"""Identifiers that are derived, never random: the same battery gets the same ids on every machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from battery_pilot.errors import InputError
from battery_pilot.passport.mapping import is_visible, parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier

_ID_MAXIMUM = 2048  # characters of an identifier in the AAS metamodel
_SLUG_MAXIMUM = 200  # leaves room for a prefix and an ending below the 255 bytes of a file name


@dataclass(frozen=True)
class Identifiers:
    """The ids of one battery's passport.

    :param battery_id: the name of the battery in the source data.
    :param serial_number: the maker's serial number.
    :param asset: global asset id, which is also the URI of the product.
    :param asset_type: id of the battery model.
    :param shell: id of the Asset Administration Shell, which is also the id of the passport.
    :param submodels: submodel idShort to submodel id; model-level parts have the same id for all batteries of a model.
    :param own_documents: the most open tier of documents of this battery alone, or ``None`` if it has none.
    """

    battery_id: str
    serial_number: str
    asset: str
    asset_type: str
    shell: str
    submodels: Mapping[str, str]
    own_documents: Tier | None = None

    def seen_by(self, tier: Tier) -> Identifiers:
        """Return the ids as readers of a tier see them: a part of its own would tell of documents that are not for them."""
        if self.own_documents is None or is_visible(self.own_documents, tier):
            return self
        of_model = submodel_id(self.asset_type, _DOCUMENTS_SEGMENT)
        return replace(self, submodels={**self.submodels, DOCUMENTS: of_model}, own_documents=None)


DOCUMENTS = "HandoverDocumentation"
"""The part that is of the model, unless a battery has documents of its own."""

_DOCUMENTS_SEGMENT = "handover-documentation"


def derive_identifiers(
    base: str, model: BatteryModel, item: BatteryItem, *, own_documents: Tier | None = None
) -> Identifiers:
    """Derive all ids of a battery's passport.

    :param base: absolute IRI below which the ids live, such as ``https://example.com/dbp``.
    :param model: gives the manufacturer id and the model id.
    :param item: gives the serial number.
    :param own_documents: the most open tier of the documents that the battery has besides those of its model.
    :raises InputError: base is no absolute IRI, a name cannot be a step of an IRI, or an id would be too long.
    """
    asset = asset_id(base, model.manufacturer_id, item.serial_number)
    asset_type = model_iri(base, model.manufacturer_id, model.model_id)
    owners = {str(part.submodel.id_short): asset_type if part.is_of_model else asset for part in parts()}
    if own_documents is not None:
        owners[DOCUMENTS] = asset
    submodels = {
        str(part.submodel.id_short): submodel_id(owners[str(part.submodel.id_short)], part.segment)
        for part in parts()
    }
    longest = max((*submodels.values(), shell_id(asset)), key=len)
    if len(longest) > _ID_MAXIMUM:
        raise InputError(
            f"battery {item.battery_id[:80]}: an id of {len(longest)} characters, the AAS allows {_ID_MAXIMUM}; shorten the "
            "serial number, the names of model and manufacturer, or the identifier base"
        )
    return Identifiers(
        battery_id=item.battery_id,
        serial_number=item.serial_number,
        asset=asset,
        asset_type=asset_type,
        shell=shell_id(asset),
        submodels=submodels,
        own_documents=own_documents,
    )


def asset_id(base: str, manufacturer: str, serial_number: str) -> str:
    """Return ``{base}/{manufacturer}/{serial}``, percent-encoded."""
    return f"{_checked_base(base)}/{_step(manufacturer)}/{_step(serial_number)}"


def model_iri(base: str, manufacturer: str, model_id: str) -> str:
    """Return ``{base}/{manufacturer}/models/{model}``, percent-encoded."""
    return f"{_checked_base(base)}/{_step(manufacturer)}/models/{_step(model_id)}"


def shell_id(asset: str) -> str:
    """Return the id of the shell of an asset."""
    return f"{asset}/aas"


def submodel_id(owner: str, segment: str) -> str:
    """Return the id of a submodel.

    :param owner: the asset id, or the model's IRI for a part that all batteries of the model share.
    :param segment: the part, such as ``product-condition``.
    """
    return f"{owner}/sm/{_step(segment)}"


def slug(battery_id: str) -> str:
    """Return a name for a battery that is safe as file name and as NGSI id, and that no other battery id gets.

    Letters, digits and hyphens stay, any other byte becomes ``_`` and three digits. Names that would be too long become
    a SHA-256 digest and ``_``, an ending that nothing else has. Ids that differ in nothing but case get slugs that
    differ in nothing but case, which some file systems do not tell apart: the master data do not accept such pairs.

    :raises InputError: the battery id is empty.
    """
    if not battery_id:
        raise InputError("a battery id is empty; give every battery a name")
    text = "".join(_slug_character(byte) for byte in battery_id.encode("utf-8", "surrogatepass"))
    if text.startswith("-"):  # would look like an option to a command
        text = "_045" + text[1:]
    if len(text) > _SLUG_MAXIMUM:
        return hashlib.sha256(battery_id.encode("utf-8", "surrogatepass")).hexdigest() + "_"
    return text


def _slug_character(byte: int) -> str:
    character = chr(byte)
    return character if re.fullmatch("[A-Za-z0-9-]", character) else f"_{byte:03d}"


def _checked_base(base: str) -> str:
    parsed = urlsplit(base)
    if not parsed.scheme or not (parsed.netloc or parsed.path) or parsed.query or parsed.fragment:
        raise InputError(f"identifier base {base!r} is no absolute IRI; use one such as https://example.com/dbp")
    return base.rstrip("/")


def _step(text: str) -> str:
    if not text.strip(".").strip():
        raise InputError(
            f"{text!r} cannot be a step of an identifier; it must have a character besides dots and blanks"
        )
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise InputError(f"{text!r} cannot be a step of an identifier: it is no valid Unicode text") from error
