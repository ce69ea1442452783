"""A passport's values without their metadata: the ValueOnly serialisation of IDTA-01002 (AAS Part 2), section 11.4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.passport.lexical import from_xsd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.passport.submodels import Json


def value_only(environment: Mapping[str, Any]) -> Json:
    """Return idShort of each submodel to its values.

    :param environment: AAS environment (JSON).
    :return: properties as numbers, truth values or texts; collections as objects; lists as arrays; texts in several
        languages as ``[{"de": "…"}]``; files as content type and value.
    """
    return {
        str(submodel["idShort"]): _members(submodel.get("submodelElements"))
        for submodel in environment.get("submodels", ())
    }


def _members(elements: Any) -> Json:
    return {str(element["idShort"]): _value(element, str(element["idShort"])) for element in elements or ()}


def _value(element: Mapping[str, Any], path: str) -> Any:
    kind, value = element["modelType"], element.get("value")
    if kind == "SubmodelElementCollection":
        return _members(value)
    if kind == "SubmodelElementList":
        return [_value(one, f"{path}[{position}]") for position, one in enumerate(value or ())]
    if kind == "MultiLanguageProperty":
        return [{one["language"]: one["text"]} for one in value or ()]
    if kind == "File":
        return {"contentType": element.get("contentType"), "value": value}
    if kind == "Property" and value is not None:
        return from_xsd(value, str(element.get("valueType")), path)
    return value
