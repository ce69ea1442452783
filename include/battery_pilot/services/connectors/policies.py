"""Usage policies of the access tiers: what a provider demands becomes constraints, and what nobody checks is told.

The words are those of ODRL 2.2; how a connector spells them is its own matter. A constraint binds the consumer by contract in
any case. Whether a connector also *checks* it differs, and an offer must not look safer than it is:

================== ============================ =====================================================================
Left operand       Eclipse EDC                  Meaning
================== ============================ =====================================================================
``recipient``      with our extension           only these participants see the offer, agree and transfer
role               with our extension           only participants that the connector's register gives one of these roles
``purpose``        with our extension           only participants that the register grants one of these purposes
``elapsedTime``    by itself (``inForceDate``)  transfers end so long after the agreement
``dateTime``       by itself (``inForceDate``)  transfers end at that moment
``count``          not at all                   number of uses
================== ============================ =====================================================================

An EDC without the extension of ``docker/edc`` refuses a policy with one of the first three.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.passport.model import Tier
from battery_pilot.services.connectors.jsonld import listed, local_name, term, text_of
from battery_pilot.services.connectors.model import Constraint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

ODRL = "http://www.w3.org/ns/odrl/2/"
RECIPIENT = f"{ODRL}recipient"
PURPOSE = f"{ODRL}purpose"
COUNT = f"{ODRL}count"
ELAPSED_TIME = f"{ODRL}elapsedTime"
DATE_TIME = f"{ODRL}dateTime"
ROLE = "https://w3id.org/edc/v0.0.1/ns/role"
"""ODRL has no word for it; EDC's namespace is the one that connectors use."""

NAME = re.compile(r"[^\s,\"'{}\[\]]{1,200}")
"""A participant, role or purpose: a comma would end it in a list."""


@dataclass(frozen=True)
class Demands:
    """What a provider demands of those who use its passports.

    :param recipients: ids of the participants that alone may have them.
    :param roles: one of these a participant must have, for example ``recycler``.
    :param purposes: for one of these they may be used.
    :param valid_days: how many days after the agreement they may be used; ``None`` without an end.
    :param maximum_uses: how often they may be used; ``None`` without a limit.
    :raises InputError: a name or number that no policy can carry.
    """

    recipients: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    valid_days: int | None = None
    maximum_uses: int | None = None

    def __post_init__(self) -> None:
        for name in (*self.recipients, *self.roles, *self.purposes):
            if not NAME.fullmatch(name):
                raise InputError(
                    f"policy: {name!r} is no participant, role or purpose: use no spaces, commas or quotes"
                )
        for number in (self.valid_days, self.maximum_uses):
            if number is not None and number < 1:
                raise InputError(f"policy: {number} is no number of days or uses: use 1 or more, or leave it out")


def constraints_of(tier: Tier, demands: Demands) -> tuple[Constraint, ...]:
    """Return the constraints under which a tier's view is offered.

    The public tier is for everybody (Regulation (EU) 2023/1542, Article 77(2)(a)) and carries none. The authorities' tier
    needs named recipients, because nothing else tells an authority from anybody else.

    :raises InputError: no recipients are named for the authorities' tier.
    """
    if tier is Tier.PUBLIC:
        return ()
    if tier is Tier.AUTHORITY and not demands.recipients:
        raise InputError(
            "policy: the authority tier is offered to named participants only: name them as recipients, or leave the tier out"
        )
    found = [
        _one_of(operand, names)
        for operand, names in (
            (RECIPIENT, demands.recipients if tier is Tier.AUTHORITY else ()),
            (ROLE, demands.roles),
            (PURPOSE, demands.purposes),
        )
        if names
    ]
    if demands.valid_days is not None:
        found.append(Constraint(ELAPSED_TIME, "lteq", f"P{demands.valid_days}D"))
    if demands.maximum_uses is not None:
        found.append(Constraint(COUNT, "lteq", str(demands.maximum_uses)))
    return tuple(found)


def in_words_of(
    constraints: Iterable[Constraint], enforced: Collection[str], now: datetime
) -> tuple[Constraint, ...]:
    """Return constraints as a connector can check them: one that knows dates alone gets a time after the agreement as a date.

    The date is the end of the month in which so many days from now are over: an offer that is published again within a
    month is the same.

    :param constraints: what :func:`constraints_of` returned.
    :param enforced: left operands that the connector checks.
    :param now: with time zone.
    """
    if ELAPSED_TIME in enforced or DATE_TIME not in enforced:
        return tuple(constraints)
    return tuple(_dated(one, now) if one.left_operand == ELAPSED_TIME else one for one in constraints)


def _dated(constraint: Constraint, now: datetime) -> Constraint:
    days = int(constraint.right_operand.removeprefix("P").removesuffix("D"))
    try:
        over = now.astimezone(UTC) + timedelta(days=days)
        end = datetime(over.year + over.month // 12, over.month % 12 + 1, 1, tzinfo=UTC)
    except (OverflowError, ValueError) as error:
        raise InputError(f"policy: {days} days from now are beyond the calendar: leave the limit out") from error
    return Constraint(DATE_TIME, constraint.operator, end.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _one_of(operand: str, names: Iterable[str]) -> Constraint:
    given = sorted(set(names))
    return Constraint(operand, "eq" if len(given) == 1 else "isAnyOf", ",".join(given))


def expires_at(policy: Mapping[str, Any], signed_at: datetime) -> datetime | None:
    """Return when use must end under an agreement, the earliest of its limits; ``None`` where none is known.

    :param policy: the agreement's policy, in any spelling of JSON-LD.
    :param signed_at: when it was agreed.
    """
    found = [
        end
        for permission in listed(term(policy, "permission"))
        for constraint in listed(term(permission, "constraint"))
        if (end := _end(constraint, signed_at)) is not None
    ]
    return min(found, default=None)


def maximum_uses(policy: Mapping[str, Any]) -> int | None:
    """Return how often an agreement lets us use the data, the smallest of its limits; ``None`` where none is known.

    :param policy: the agreement's policy, in any spelling of JSON-LD.
    """
    found = [
        number
        for permission in listed(term(policy, "permission"))
        for constraint in listed(term(permission, "constraint"))
        if (number := _count(constraint)) is not None
    ]
    return min(found, default=None)


def _count(constraint: Mapping[str, Any]) -> int | None:
    operand = local_name(text_of(constraint, "leftOperand") or "")
    operator = local_name(text_of(constraint, "operator") or "")
    right = text_of(constraint, "rightOperand") or ""
    if operand.lower() != "count" or operator.lower() not in {"lt", "lteq", "eq"} or not right.isdecimal():
        return None
    return max(int(right) - (operator.lower() == "lt"), 0)


def _end(constraint: Mapping[str, Any], signed_at: datetime) -> datetime | None:
    operand = local_name(text_of(constraint, "leftOperand") or "")
    operator = local_name(text_of(constraint, "operator") or "")
    if operand not in {"inForceDate", "elapsedTime", "dateTime"} or operator not in {"lt", "lteq", "eq"}:
        return None
    right = text_of(constraint, "rightOperand") or ""
    span = _SPAN.fullmatch(right)
    try:
        if span:
            number = int(span["edc"] or span["days"] or span["hours"])
            unit = _UNITS[span["unit"] or ("d" if span["days"] else "h")]
            return signed_at + number * unit
        moment = datetime.fromisoformat(right)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_SPAN = re.compile(r"contract[Aa]greement\+(?P<edc>\d+)(?P<unit>[smhd])|P(?:(?P<days>\d+)D|T(?P<hours>\d+)H)")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def demand_enforceable(constraints: Iterable[Constraint], enforced: Collection[str]) -> None:
    """Refuse constraints that a connector would carry but not check.

    :param constraints: the constraints of an offer.
    :param enforced: left operands that the connector checks.
    :raises InputError: there is one it does not; the message names it.
    """
    idle = sorted({one.left_operand.removeprefix(ODRL) for one in constraints if one.left_operand not in enforced})
    if idle:
        raise InputError(
            f"policy: the connector does not check {', '.join(idle)}, so an offer would promise what nobody enforces: "
            "leave it out, or use a connector that does"
        )
