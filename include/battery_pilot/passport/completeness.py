"""How complete a passport is: which mandatory elements are there, which are missing, and who has to supply them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from battery_pilot.passport.mapping import Part, Row, is_visible, parent_path, part_of, parts, row_path
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from battery_pilot.passport.building import Passport

NO_REASON = "it is not in the passport"


@dataclass(frozen=True)
class Missing:
    """A mandatory element that is not there.

    :param path: where it belongs.
    :param supplier: who has to supply it: maker, operator, laboratory or recycler.
    :param reason: why it is missing, as far as known.
    :param tier: its tier, so that nobody is told of what is not for him.
    """

    path: str
    supplier: str
    reason: str
    tier: Tier


@dataclass(frozen=True)
class Completeness:
    """The completeness of one passport.

    An element is mandatory where its template or, for the category, the regulation demands it, and all that holds it is
    mandatory too. Elements of list members count once for all members.

    :param category: battery category.
    :param tier: only elements that this tier sees are counted.
    :param mandatory: number of mandatory values.
    :param present: how many of them are there.
    :param missing: the others, in the order of the tables.
    """

    category: str
    tier: Tier
    mandatory: int
    present: int
    missing: tuple[Missing, ...]

    @property
    def percent(self) -> float:
        """Share of the mandatory values that are there, 0..100."""
        return 100 * self.present / self.mandatory if self.mandatory else 100.0

    @property
    def by_supplier(self) -> dict[str, int]:
        """How many values each supplier owes."""
        return dict(sorted(Counter(one.supplier for one in self.missing).items()))


@dataclass(frozen=True)
class Tally:
    """The completeness of many passports.

    :param mandatory: mandatory values of all of them.
    :param present: how many are there.
    :param incomplete: passports that miss any.
    """

    mandatory: int = 0
    present: int = 0
    incomplete: int = 0

    @classmethod
    def of(cls, one: Completeness) -> Tally:
        """Return the tally of one passport."""
        return cls(one.mandatory, one.present, int(bool(one.missing)))

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both."""
        return Tally(
            self.mandatory + other.mandatory, self.present + other.present, self.incomplete + other.incomplete
        )

    @property
    def percent(self) -> float:
        """Share of the mandatory values that are there, 0..100, to a tenth."""
        return round(100 * self.present / self.mandatory, 1) if self.mandatory else 100.0


def completeness_of(passport: Passport) -> Completeness:
    """Return how complete a passport is, or a view of one, of which nothing more closed is told.

    :param passport: the passport or view.
    """
    # The category is public, as part 4 states it.
    category = next((str(one.value) for one in passport.elements if one.path == CATEGORY_PATH), "")
    paths = [one.path for one in passport.elements]
    return completeness(paths, category, passport.tier, {one.path: one.reason for one in passport.absent})


def completeness(
    paths: Collection[str], category: str, tier: Tier = Tier.AUTHORITY, reasons: Mapping[str, str] | None = None
) -> Completeness:
    """Return how complete a passport with these elements is.

    :param paths: of all its elements, or of its values only.
    :param category: ev, lmt, industrial or stationary; any other demands what the templates demand.
    :param tier: elements that this tier does not see are not counted.
    :param reasons: path of an element to the reason why it is missing.
    """
    missing = tuple(
        Missing(
            place, part_of(row.path.partition(".")[0]).supplier_of(row.path), _reason(place, reasons or {}), row.tier
        )
        for row, place in _gaps(tuple(paths), category, tier)
    )
    count = len(mandatory_values(category, tier))
    return Completeness(category, tier, count, count - len(missing), missing)


@lru_cache(maxsize=64)
def _gaps(paths: tuple[str, ...], category: str, tier: Tier) -> tuple[tuple[Row, str], ...]:
    """Return the rows without a value and their places; the batteries of a fleet mostly have the same elements."""
    instances: dict[str, set[str]] = {}
    for path in _with_containers(paths):
        instances.setdefault(row_path(path), set()).add(path)
    places = ((row, _gap(row, instances)) for row in mandatory_values(category, tier))
    return tuple((row, place) for row, place in places if place is not None)


@cache
def mandatory_values(category: str, tier: Tier = Tier.AUTHORITY) -> tuple[Row, ...]:
    """Return the rows of the values that a battery of a category must have, as far as a tier sees them."""
    return tuple(
        row for part in parts() for row in _mandatory(part, part.submodel, category) if is_visible(row.tier, tier)
    )


def _mandatory(part: Part, row: Row, category: str) -> Iterator[Row]:
    if not row.is_mandatory(category):
        return
    if not row.is_container:
        yield row
        return
    for child in part.children[row.path]:
        yield from _mandatory(part, child, category)


def _with_containers(paths: Collection[str]) -> set[str]:
    present: set[str] = set()
    for path in paths:
        step = path.partition("@")[0]
        while step and step not in present:
            present.add(step)
            step = parent_path(step)
    return present


def _gap(row: Row, instances: Mapping[str, set[str]]) -> str | None:
    """Return the first place where a mandatory value is missing: its own, or that of a container that is not there."""
    there = instances.get(row.path, set())
    above = parent_path(row.path)
    for container in sorted(instances.get(above, ())):
        if row.path.endswith("]"):
            if not any(path.startswith(f"{container}[") for path in there):
                return f"{container}[0]"
        elif f"{container}.{row.id_short}" not in there:
            return f"{container}.{row.id_short}"
    return None if there else row.path.replace("[]", "[0]")


def _reason(path: str, reasons: Mapping[str, str]) -> str:
    """Return the reason for the element or for what should hold it."""
    while path:
        if path in reasons:
            return reasons[path]
        path = parent_path(path)
    return NO_REASON


CATEGORY_PATH = "TechnicalData.GeneralInformation.BatteryCategory"
"""Where a passport states the category that decides what is mandatory."""
