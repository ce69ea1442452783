"""Differential sync of a context broker: only what changed is sent, and no older value replaces a newer one.

What was sent before is known from a file in the lake. Entities that differ from it are read back before they are written,
many at once, and each attribute is compared by its time ``dateObserved``: a value that an application has written since then
stays until the passport has a later one. Entities that have not changed cost no request.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from battery_pilot.errors import ServerRefused
from battery_pilot.pipeline.sent_entities import IN_DOUBT, Sent, entity_digest, footprint
from battery_pilot.services.ngsi import OBSERVED, attributes_of, modified_at, observed_at, same_attribute, state_time
from battery_pilot.services.orion import EntityRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from battery_pilot.pipeline.sent_entities import SentEntities
    from battery_pilot.services.ngsi import Attribute, Entity

log = logging.getLogger(__name__)

CHUNK = 500
"""Entities that are looked at together; memory holds no more of them."""


class Broker(Protocol):
    """What entities are written to: :class:`Orion`, or the same behind an agent."""

    @property
    def place(self) -> str:
        """Which tenant and path of which server it is."""

    def count(self, entity_type: str) -> int:
        """Return how many entities of a type there are."""

    def read(self, entities: Sequence[Entity]) -> dict[str, Entity]:
        """Return those of the entities that exist, by id, with the metadata ``dateModified``."""

    def upsert(self, entities: Iterable[Entity], *, refused: list[ServerRefused] | None = None) -> int:
        """Create entities or add and replace attributes, and return how many were stored."""

    def delete_attributes(self, entities: Iterable[Entity]) -> None:
        """Delete the attributes that the entities given have."""


@dataclass
class SyncCounts:
    """What a sync did.

    :param entities: entities that it was given.
    :param written: entities of which something was written.
    :param kept_newer: attributes that the broker has a later value of.
    :param refused: the refusal of each entity that the broker did not take.
    """

    entities: int = 0
    written: int = 0
    kept_newer: int = 0
    refused: list[ServerRefused] = field(default_factory=list)

    def __iadd__(self, other: SyncCounts) -> SyncCounts:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self


@dataclass
class _Plan:
    """What to do with one entity.

    :param whole: the entity as it is wanted.
    :param is_new: the broker does not have it.
    :param write: attributes to write.
    :param delete: attributes to delete.
    :param values: footprints of our values that the broker has afterwards.
    :param kept_newer: attributes that the broker has a later value of.
    """

    whole: Entity
    is_new: bool = False
    write: dict[str, Attribute] = field(default_factory=dict)
    delete: dict[str, Attribute] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    kept_newer: int = 0


def sync(broker: Broker, entities: Iterable[Entity], sent: SentEntities) -> SyncCounts:
    """Bring entities on a broker to the state given; killed in the middle, the next run does the rest.

    An attribute that was sent before and is gone is deleted, one that somebody else added stays.

    :param broker: where to.
    :param entities: their new state; consumed piece by piece. The latest counts where one comes twice.
    :param sent: what was sent before; brought up to date.
    :raises ServerRefused: the broker refused something other than single entities.
    """
    _forget_what_was_lost(broker, sent)
    counts = SyncCounts()
    iterator = iter(entities)
    while chunk := list(islice(iterator, CHUNK)):
        counts += _sync_chunk(broker, chunk, sent)
    return counts


def _forget_what_was_lost(broker: Broker, sent: SentEntities) -> None:
    """Where the broker holds fewer entities than it was sent, take none of them for granted."""
    for entity_type, known in sent.counts().items():
        try:
            held = broker.count(entity_type)
        except ServerRefused as error:
            log.warning("whether the broker has kept its entities is not known: %s", error)
            continue
        if held < known:
            log.warning("the broker holds %d of %d entities of type %s: all are compared", held, known, entity_type)
            sent.forget(entity_type)


def _sync_chunk(broker: Broker, chunk: list[Entity], sent: SentEntities) -> SyncCounts:
    latest: dict[str, Entity] = {}
    for one in chunk:
        before = latest.get(one["id"])
        if before is None or not is_later(state_time(before), state_time(one)):
            latest[one["id"]] = one
    known = sent.of(latest)
    digests = {identifier: entity_digest(one) for identifier, one in latest.items()}
    changed = [
        one
        for identifier, one in latest.items()
        if identifier not in known or known[identifier].digest != digests[identifier]
    ]
    counts = SyncCounts(entities=len(chunk))
    if not changed:
        return counts
    held = broker.read(changed)
    plans = [_plan(one, held.get(one["id"]), known.get(one["id"])) for one in changed]
    counts.kept_newer = sum(plan.kept_newer for plan in plans)
    # A run that breaks off may have written: the names are ours from now on, so that the next run can delete them.
    sent.put(
        (plan.whole, _in_doubt(plan, known.get(plan.whole["id"]))) for plan in plans if plan.write or plan.is_new
    )
    counts.written = broker.upsert(_writes(plans), refused=counts.refused)
    broker.delete_attributes(_with_identity(plan.whole, plan.delete) for plan in plans if plan.delete)
    out = {one.identifier for one in counts.refused if isinstance(one, EntityRefused)}
    sent.put(
        (plan.whole, Sent(digests[plan.whole["id"]], plan.values)) for plan in plans if plan.whole["id"] not in out
    )
    return counts


def _in_doubt(plan: _Plan, known: Sent | None) -> Sent:
    return Sent(IN_DOUBT, {**plan.values, **(known.values if known else {})})


def _writes(plans: Iterable[_Plan]) -> Iterator[Entity]:
    return (_with_identity(plan.whole, plan.write) for plan in plans if plan.write or plan.is_new)


def _with_identity(entity: Entity, attributes: dict[str, Attribute]) -> Entity:
    return {"id": entity["id"], "type": entity["type"], **attributes}


def _plan(entity: Entity, held: Entity | None, known: Sent | None) -> _Plan:
    """Compare an entity with what the broker shows of it."""
    wanted = attributes_of(entity)
    plan = _Plan(entity, is_new=held is None, values={name: footprint(one) for name, one in wanted.items()})
    if held is None:
        plan.write = wanted
        return plan
    for name, one in wanted.items():
        shown = held.get(name)
        if shown is None:
            plan.write[name] = one
        elif same_attribute(one, shown):
            continue
        elif is_later(time_shown(name, shown, held, known), observed_at(one) or state_time(entity)):
            plan.kept_newer += 1
            plan.values[name] = known.values.get(name, "") if known else footprint(shown)
        else:
            plan.write[name] = one
    _plan_what_is_gone(plan, held, known)
    if plan.write.keys() == {OBSERVED}:  # a later look at the same state
        plan.write = {}
        plan.values[OBSERVED] = footprint(held[OBSERVED]) if OBSERVED in held else ""
    return plan


def _plan_what_is_gone(plan: _Plan, held: Entity, known: Sent | None) -> None:
    """Plan what becomes of attributes that were sent before and are not wanted now."""
    before = known.values if known else {}
    for name in (before.keys() & held.keys()) - plan.whole.keys():
        if is_later(time_shown(name, held[name], held, known), state_time(plan.whole)):
            plan.values[name] = before[
                name
            ]  # the state given is an older one: it stays ours, for a later one to delete
        else:
            plan.delete[name] = held[name]


def time_shown(name: str, shown: Attribute, held: Entity, known: Sent | None) -> datetime | None:
    """Return how new a value on the broker is.

    That is the time beside it, except where somebody else set the value and left our time: then it is the time of
    that change.

    :param name: name of the attribute.
    :param shown: the attribute as the broker shows it, with ``dateModified``.
    :param held: the entity as the broker shows it.
    :param known: what we sent of it; ``None`` if that is not known.
    """
    observed = observed_at(shown) or state_time(held)
    if known is None or known.wrote(name, shown) or not known.dated(name, shown):
        return observed
    return modified_at(shown) or observed


def is_later(one: datetime | None, other: datetime | None) -> bool:
    """Tell whether one time is known to be after another."""
    return one is not None and other is not None and one > other
