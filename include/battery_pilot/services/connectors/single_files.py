"""What TRUE Connectors have in common: an offer is one file, and data come from hosts that may be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from battery_pilot.services.connectors.model import Offer


def demand_one_file(offer: Offer) -> None:
    """Refuse an offer of a folder: TRUE Connector fetches from one fixed address.

    :raises InputError: it is of a folder.
    """
    if offer.is_folder:
        raise InputError(
            f"{offer.asset_id}: a TRUE Connector offers single files, no folders: offer each battery by itself"
        )


def demand_no_path(path: str) -> None:
    """Refuse to look below the address of a transfer.

    :raises InputError: a path is given.
    """
    if path:
        raise InputError(
            f"path {path[:80]!r}: a transfer of a TRUE Connector is of one file and has nothing below it"
        )


def demand_allowed(transfer_id: str, endpoint: str, hosts: Collection[str] | None) -> None:
    """Refuse a host that a counterparty named and that may not be asked.

    :param endpoint: the address that it named; empty where it named none.
    :param hosts: hosts that may be asked, in small letters; ``None`` for any.
    :raises InputError: the host is another one.
    """
    if hosts is None or not endpoint:
        return
    try:
        host = urlsplit(endpoint).hostname
    except ValueError:  # the brackets of an IPv6 address are wrong
        host = None
    if host not in hosts:
        raise InputError(
            f"transfer {transfer_id}: the counterparty's data lie on host {host!r}, which may not be asked: if it is "
            "the counterparty's, add it to data_hosts in the extra of the connector's connection"
        )
