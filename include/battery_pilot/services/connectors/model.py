"""What all data-space connectors have in common: offers, catalogue entries, negotiations and transfers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from battery_pilot.passport.model import Tier

# Connectors take the id as a path segment, and the web servers below them refuse an encoded slash there.
ASSET_ID = re.compile(r"[A-Za-z0-9._~:-]{1,200}")


@dataclass(frozen=True)
class Constraint:
    """One condition of a permission, in the words of ODRL.

    :param left_operand: what is looked at, as an IRI or a name that the data space defines.
    :param operator: ODRL operator without prefix, such as ``eq`` or ``lteq``.
    :param right_operand: what it is compared with.
    """

    left_operand: str
    operator: str
    right_operand: str


@dataclass(frozen=True)
class Offer:
    """A file that a provider lets others have.

    :param asset_id: id of the offer in the connector; everything the connector needs is named after it.
    :param title: what a reader of the catalogue sees.
    :param data_url: where the connector itself gets the file.
    :param content_type: media type of the file.
    :param tier: access tier of the content.
    :param properties: further searchable properties, such as the hash of the file.
    :param constraints: conditions of use, all of which hold; without any, everyone in the data space may use it.
    :param is_folder: whether ``data_url`` is a folder, all of which a consumer may read by paths below it.
    :raises InputError: the id has characters that connectors do not take.
    """

    asset_id: str
    title: str
    data_url: str
    content_type: str
    tier: Tier
    properties: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    is_folder: bool = False

    def __post_init__(self) -> None:
        if not ASSET_ID.fullmatch(self.asset_id):
            raise InputError(f"asset id {self.asset_id!r}: use at most 200 of A-Z, a-z, 0-9 and . _ ~ : -")


@dataclass(frozen=True)
class Counterparty:
    """The other side.

    :param participant_id: its id in the data space.
    :param protocol_url: where its connector listens to other connectors.
    """

    participant_id: str
    protocol_url: str


@dataclass(frozen=True)
class CatalogueEntry:
    """One asset in a counterparty's catalogue.

    :param asset_id: id of the asset.
    :param title: its title.
    :param properties: its properties by their names without prefix.
    :param offer: the policy exactly as the catalogue gave it; an agreement is refused when it differs.
    :param counterparty: whose catalogue it is.
    """

    asset_id: str
    title: str
    properties: Mapping[str, str]
    offer: dict[str, Any]
    counterparty: Counterparty


class NegotiationState(StrEnum):
    """Where a contract negotiation stands (Dataspace Protocol 2025-1)."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    TERMINATED = "TERMINATED"
    IN_PROGRESS = "IN_PROGRESS"
    """A connector's own step between two states of the protocol."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in {NegotiationState.FINALIZED, NegotiationState.TERMINATED}


class TransferState(StrEnum):
    """Where a transfer stands (Dataspace Protocol 2025-1)."""

    REQUESTED = "REQUESTED"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    TERMINATED = "TERMINATED"
    IN_PROGRESS = "IN_PROGRESS"
    """A connector's own step between two states of the protocol."""

    @property
    def is_ready(self) -> bool:
        """Whether the data can be fetched. A pull transfer never completes by itself: started is as far as it gets."""
        return self is TransferState.STARTED

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in {TransferState.COMPLETED, TransferState.TERMINATED}


@dataclass(frozen=True)
class Negotiation:
    """A contract negotiation.

    :param id: its id in our connector.
    :param state: where it stands.
    :param agreement_id: the agreement, once there is one.
    :param error: why it ended without one, in the connector's words.
    """

    id: str
    state: NegotiationState
    agreement_id: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Agreement:
    """What both sides agreed on.

    :param id: its id, the same on both sides.
    :param policy: the policy as the connector gives it.
    :param signed_at: when it was agreed, with time zone.
    """

    id: str
    policy: dict[str, Any]
    signed_at: datetime


@dataclass(frozen=True)
class Transfer:
    """A transfer process.

    :param id: its id in our connector.
    :param state: where it stands.
    :param error: why it failed, in the connector's words.
    """

    id: str
    state: TransferState
    error: str | None = None
