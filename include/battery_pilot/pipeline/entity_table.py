"""Which value of a passport becomes which attribute of which NGSI entity: the table ``tables/orion_1.0.csv``, read.

One row an attribute. ``source`` and ``observed`` are paths in the passport, ``provenance`` is the collection with the
value's method and uncertainty; a source with ``@`` is a fact of the passport as a whole. The units of the passport's own
tables and the codes here are the same, and no attribute is more open than the element that it comes from; tests see to both.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from battery_pilot.passport.model import Tier

TABLE = "orion_1.0.csv"
BATTERY, BATTERY_MODEL = "Battery", "BatteryModel"


@dataclass(frozen=True)
class EntityRow:
    """One attribute.

    :param entity: type of the entity.
    :param attribute: name of the attribute.
    :param source: path in the passport, or ``@`` and a fact of the whole passport.
    :param type: NGSI type: Text, Number, DateTime or Relationship.
    :param unit_code: code of the unit by UN/CEFACT Recommendation 20; empty for none.
    :param observed: path of the time of the value; empty means the time of the passport's state.
    :param provenance: path of the collection with the method and uncertainty; empty for none.
    :param tier: who may see it.
    :param is_writable: whether an application's value goes back to the twin.
    :param ld_name: name in the Smart Data Models' vocabulary; empty where they have none and ours stays.
    :param note: explanation.
    """

    entity: str
    attribute: str
    source: str
    type: str
    unit_code: str
    observed: str
    provenance: str
    tier: Tier
    is_writable: bool
    ld_name: str
    note: str

    @property
    def path_name(self) -> str:
        """The attribute's name by its path, as the FIWARE AAS Agent forms names; facts keep their own."""
        return self.attribute if self.source.startswith("@") else self.source.replace(".", "__")


@cache
def entity_rows(entity_type: str) -> tuple[EntityRow, ...]:
    """Return the attributes of a type of entity, in the order of the table."""
    text = (files("battery_pilot.pipeline") / "tables" / TABLE).read_text(encoding="utf-8")
    return tuple(
        EntityRow(
            **{name: cell for name, cell in record.items() if name not in ("tier", "writable")},
            tier=Tier(record["tier"]),
            is_writable=record["writable"] == "yes",
        )
        for record in csv.DictReader(text.splitlines())
        if record["entity"] == entity_type
    )


@cache
def writable_rows() -> dict[str, EntityRow]:
    """Return the attributes whose values applications may set, by each of their names."""
    rows = [row for row in entity_rows(BATTERY) if row.is_writable]
    return {row.attribute: row for row in rows} | {row.path_name: row for row in rows}
