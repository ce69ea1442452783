"""What happens to a battery besides measurements: events that change its status, close its passport or begin a new one.

A battery that is repurposed or remanufactured gets a new passport, linked to the old one in both directions (Regulation
(EU) 2023/1542, Art. 77(7)). The old one is closed: it stays readable and takes no more measurements. Events are days in UTC;
a measurement of the day on which a battery is closed still belongs to it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from battery_pilot.electrochemistry.condition import Frozen
from battery_pilot.errors import InputError
from battery_pilot.passport.identifiers import asset_id, shell_id
from battery_pilot.passport.model import Day, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from battery_pilot.passport.model import BatteryItem, BatteryModel

Happening = Literal[
    "placed_on_market", "put_into_service", "accident", "reused", "repurposed", "remanufactured", "waste"
]

STATUS_AFTER: dict[str, Status] = {
    "reused": "Reused",
    "repurposed": "Repurposed",
    "remanufactured": "Remanufactured",
    "waste": "Waste",
}
"""The status of Regulation (EU) 2023/1542 that an event gives; other events leave it as it is."""

RENEWING = frozenset({"repurposed", "remanufactured"})
"""The events that close a passport and begin another."""

CLOSING = RENEWING | {"waste"}

CLOSED_ON_PATH = "BatteryPilotLifeCycle.ClosedOn"
"""Where a passport says that it is closed."""


class LifeEvent(Frozen):
    """One event of one battery; one row of the master-data table ``events``."""

    battery_id: str = Field(description="battery to which it happened", examples=["PACK-17"])
    event: Happening = Field(
        description="placed_on_market, put_into_service, accident, reused, repurposed, remanufactured or waste",
        examples=["repurposed"],
    )
    occurred_on: Day = Field(description="day on which it happened, UTC", examples=["2031-05-04"])
    operator_id: str | None = Field(
        default=None, description="identifier of the economic operator who answers for it", examples=["DE-2L-4"]
    )
    successor_battery_id: str | None = Field(
        default=None,
        description="repurposed or remanufactured: your name of the battery that it became",
        examples=["PACK-17-R"],
    )
    successor_serial_number: str | None = Field(
        default=None,
        description="serial number of that battery, unless it has a row in the table batteries",
        examples=["2L-2031-000004"],
    )
    successor_model_id: str | None = Field(
        default=None, description="model of that battery, unless it is the same or has a row", examples=["HOME-10"]
    )
    document_id: str | None = Field(
        default=None, description="document identifier of a report about it", examples=["ACC-2031-9"]
    )
    remark: str | None = Field(default=None, description="what happened, in a few words", examples=["rear collision"])

    @property
    def at(self) -> datetime:
        """The beginning of its day, UTC."""
        return datetime.fromisoformat(self.occurred_on).replace(tzinfo=UTC)


class Relative(Frozen):
    """A battery that another one became, or was.

    :param battery_id: its name in the source data.
    :param passport_id: id of its passport.
    """

    battery_id: str
    passport_id: str


class Life(Frozen):
    """The events of one battery up to a point in time, in order, and its relatives.

    :param events: what happened to it.
    :param origin: the events that it came from, which happened to its predecessors.
    :param predecessors: the batteries that it was.
    :param successors: the batteries that it became.
    :param told_until: the newest event that a former passport told, where it was corrected to an earlier day since.
    """

    events: tuple[LifeEvent, ...] = ()
    origin: tuple[LifeEvent, ...] = ()
    predecessors: tuple[Relative, ...] = ()
    successors: tuple[Relative, ...] = ()
    told_until: datetime | None = None

    @property
    def closing(self) -> LifeEvent | None:
        """The event that closed the passport, or ``None`` while it is open."""
        return next((event for event in self.events if event.event in CLOSING), None)

    @property
    def closed_on(self) -> str | None:
        """The day on which the passport was closed, or ``None`` while it is open."""
        return self.closing.occurred_on if self.closing else None

    @property
    def passport_status(self) -> str:
        """``Active``, or ``Inactive`` once the passport is closed (the digital record, not the battery)."""
        return "Inactive" if self.closing else "Active"

    @property
    def accidents(self) -> tuple[LifeEvent, ...]:
        """The accidents."""
        return tuple(event for event in self.events if event.event == "accident")

    @property
    def accident_document_ids(self) -> tuple[str, ...]:
        """Document identifiers of the accident reports."""
        return tuple(event.document_id for event in self.accidents if event.document_id)

    @property
    def predecessor_passport_ids(self) -> tuple[str, ...]:
        """Ids of the passports of the batteries that it was."""
        return tuple(one.passport_id for one in self.predecessors)

    @property
    def successor_passport_ids(self) -> tuple[str, ...]:
        """Ids of the passports of the batteries that it became."""
        return tuple(one.passport_id for one in self.successors)

    @property
    def times(self) -> list[datetime]:
        """When the events happened, and what was told before they were corrected."""
        return [
            *(event.at for event in (*self.origin, *self.events)),
            *([self.told_until] if self.told_until else []),
        ]

    def as_of(self, measured: datetime) -> datetime:
        """Return the later of two times: of the newest measurement and of the newest event."""
        return max([measured, *self.times])

    def following(self, former: Life) -> Life:
        """Return this life as the correction of what a former passport told.

        A state that was told of a later day is corrected for that day; else it would stay the latest that is known.

        :param former: the life that the former passport told.
        """
        told = max(former.times, default=None)
        return self if told is None or told <= max(self.times) else self.model_copy(update={"told_until": told})

    def tells(self, other: Life) -> bool:
        """Whether this life has the very events and relatives of another one."""
        return self == other.model_copy(update={"told_until": self.told_until})

    def applied_to(self, item: BatteryItem) -> BatteryItem:
        """Return the battery's facts after its events.

        :param item: its facts as the table ``batteries`` has them; the status there counts until an event changes it.
        """
        status: Status = item.status
        for event in self.origin:
            if status == "Original":  # else the table knows better
                status = STATUS_AFTER[event.event]
        for event in self.events:
            status = STATUS_AFTER.get(event.event, status)
        in_service = [event.occurred_on for event in self.events if event.event == "put_into_service"]
        facts = {"status": status, "put_into_service_on": item.put_into_service_on or next(iter(in_service), None)}
        return item if facts.items() <= dict(item).items() else item.model_copy(update=facts)


NO_LIFE = Life()


def lives(
    models: Mapping[str, BatteryModel],
    batteries: Mapping[str, BatteryItem],
    events: Iterable[LifeEvent],
    before: datetime,
    base: str,
) -> dict[str, Life]:
    """Return the lives of all batteries that had an event, or came from one, before a point in time.

    :param models: all models.
    :param batteries: all batteries, successors too.
    :param events: all events that are known.
    :param before: for example the end of a window.
    :param base: absolute IRI below which the ids live.
    """
    happened = sorted((one for one in events if one.at < before), key=_order)
    own: dict[str, list[LifeEvent]] = {}
    came_from: dict[str, list[LifeEvent]] = {}
    for event in happened:
        own.setdefault(event.battery_id, []).append(event)
        if event.successor_battery_id:
            came_from.setdefault(event.successor_battery_id, []).append(event)

    def relatives(names: Iterable[str | None]) -> tuple[Relative, ...]:
        items = (batteries[name] for name in dict.fromkeys(names) if name)
        return tuple(
            Relative(
                battery_id=item.battery_id,
                passport_id=shell_id(asset_id(base, models[item.model_id].manufacturer_id, item.serial_number)),
            )
            for item in items
        )

    return {
        name: Life(
            events=tuple(own.get(name, ())),
            origin=tuple(came_from.get(name, ())),
            predecessors=relatives(event.battery_id for event in came_from.get(name, ())),
            successors=relatives(event.successor_battery_id for event in own.get(name, ())),
        )
        for name in dict.fromkeys((*own, *came_from))
    }


def _order(event: LifeEvent) -> tuple[str, bool, str, str]:
    """Sort by day; what closes a passport comes last on its day; the order of the table's rows does not matter."""
    return event.occurred_on, event.event in CLOSING, event.event, event.model_dump_json()


class Closure(Frozen):
    """What becomes of measurements that are taken after a battery's passport was closed.

    :param after: the end of the day on which it was closed.
    :param event: how.
    :param successor: the one battery that continues it, or ``None`` if there is none or are several.
    """

    after: datetime
    event: str
    successor: str | None


def closures(events: Iterable[LifeEvent]) -> dict[str, Closure]:
    """Return the closed batteries among those that had an event.

    :param events: all events that are known.
    """
    closing: dict[str, list[LifeEvent]] = {}
    for event in sorted(events, key=_order):
        if event.event in CLOSING:
            closing.setdefault(event.battery_id, []).append(event)
    found: dict[str, Closure] = {}
    for name, own in closing.items():
        successors = {event.successor_battery_id for event in own if event.successor_battery_id}
        found[name] = Closure(
            after=own[0].at + timedelta(days=1),
            event=own[-1].event,
            successor=successors.pop() if len(successors) == 1 else None,
        )
    return found


def owner_at(battery_id: str, measured_at: datetime, closed: Mapping[str, Closure]) -> str:
    """Return the battery that a measurement belongs to: where the named one was closed before, its successor.

    :param battery_id: the battery that the file names.
    :param measured_at: when the measurement began.
    :param closed: result of :func:`closures`.
    :raises InputError: the passport was closed before, and no single battery continues it.
    """
    name = battery_id
    for _ in range(len(closed) + 1):
        closure = closed.get(name)
        if closure is None or measured_at < closure.after:
            return name
        if closure.successor is None:
            raise InputError(
                f"the passport of battery {name} was closed before this was measured ({closure.event}): name the "
                "battery that it became in the file, or correct the table events"
            )
        name = closure.successor
    raise InputError(f"the successors of battery {battery_id} lead back to it: correct the table events")
