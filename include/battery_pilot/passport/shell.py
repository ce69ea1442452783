"""The shell of a passport: which battery it is of, and which submodels belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.passport.identifiers import slug

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.submodels import Json


def shell_dict(passport: Passport) -> Json:
    """Return the shell, with references to the submodels that this view has."""
    ids = passport.identifiers
    return {
        "modelType": "AssetAdministrationShell",
        "id": ids.shell,
        # Metamodel 3.1 allows hyphens in an idShort, 3.0 does not.
        "idShort": f"Battery_{slug(passport.battery_id)}"[:128].replace("-", "_"),
        "assetInformation": {
            "assetKind": "Instance",
            **({"assetType": ids.asset_type} if ids.asset_type else {}),  # a passport of somebody else may have none
            "globalAssetId": ids.asset,
            "specificAssetIds": [
                {"name": "batteryId", "value": passport.battery_id},
                {"name": "serialNumber", "value": ids.serial_number},
            ],
        },
        "submodels": [
            {"type": "ModelReference", "keys": [{"type": "Submodel", "value": identifier}]}
            for identifier in sorted(
                ids.submodels[element.path] for element in passport.elements if element.row.kind == "Submodel"
            )
        ],
    }
