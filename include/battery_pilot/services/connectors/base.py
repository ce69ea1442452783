"""The one interface behind which every data-space connector stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from battery_pilot.services.connectors.model import (
        Agreement,
        CatalogueEntry,
        Counterparty,
        Negotiation,
        Offer,
        Transfer,
    )


class Connector(Protocol):
    """A connector of ours, used as provider (publish, withdraw) and as consumer (the rest).

    Every method raises :class:`~battery_pilot.errors.ServerRefused` or
    :class:`~battery_pilot.errors.ServerUnavailable` when the connector does not do what was asked.
    """

    agreements_serve_once: bool
    """Whether an agreement is used up by one transfer."""

    offers_folders: bool
    """Whether an offer may be of a folder, all of which a consumer reads under one agreement."""

    enforced_operands: frozenset[str]
    """Left operands whose constraints the connector checks by itself, in the words of
    :mod:`battery_pilot.services.connectors.policies`; an offer with another one is refused."""

    def publish(self, offer: Offer) -> None:
        """Offer a file, or change the offer with the same asset id to this one."""

    def withdraw(self, asset_id: str) -> None:
        """Take an offer out of the catalogue; that there is none is no error. Agreements made remain."""

    def catalogue(
        self, counterparty: Counterparty, *, filter: Mapping[str, str] | None = None
    ) -> Iterator[CatalogueEntry]:
        """Walk over what a counterparty offers us.

        :param counterparty: whose catalogue.
        :param filter: only assets with these property values.
        """

    def negotiate(self, entry: CatalogueEntry) -> str:
        """Start a negotiation about a catalogue entry that was just read, and return its id."""

    def negotiation(self, negotiation_id: str) -> Negotiation:
        """Look at a negotiation."""

    def negotiations_under_way(self, counterparty: Counterparty) -> dict[str, str]:
        """Return the ids of our negotiations with a counterparty that have not ended, by asset.

        A run that was killed while it asked finds here what it has begun.
        """

    def terminate_negotiation(self, negotiation_id: str, reason: str) -> None:
        """End a negotiation; that it has ended already is no error."""

    def find_agreement(
        self, asset_id: str, counterparty: Counterparty, *, without: Collection[str] = ()
    ) -> str | None:
        """Return the id of the latest agreement that holds already, so that nothing needs negotiating again.

        :param without: agreements that are not to be used again.
        """

    def agreement(self, agreement_id: str) -> Agreement:
        """Read an agreement."""

    def transfer(self, agreement_id: str, counterparty: Counterparty) -> str:
        """Start a transfer under an agreement, and return its id."""

    def transfer_state(self, transfer_id: str) -> Transfer:
        """Look at a transfer."""

    def fetch(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> bytes:
        """Get the data of a transfer that has started.

        :param transfer_id: the transfer.
        :param maximum_bytes: longest file to accept; what a counterparty sends is not trusted.
        :param path: below the address of the transfer, where the offer is of a folder.
        :raises TooLarge: the file is longer.
        """

    def stream(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> Iterator[bytes]:
        """Get the same data piece by piece, so that an archive is never in memory as a whole.

        Errors come while it is walked over; what came before is then a part only.
        """

    def terminate(self, transfer_id: str, reason: str) -> None:
        """End a transfer; that it has ended already is no error."""
