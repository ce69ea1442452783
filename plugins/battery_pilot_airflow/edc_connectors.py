"""EDC connectors from Airflow connections; see :func:`battery_pilot_airflow.hooks.party_of`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot_airflow.hooks import address_of, data_hosts_of
from battery_pilot_airflow.true_connectors import data_keys_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from battery_pilot.lake import Lake
    from battery_pilot.services.connectors.edc import EdcConnector
    from battery_pilot.services.connectors.exchanges import ExchangeJournal
    from battery_pilot.services.connectors.inbox import Inbox

PROTOCOL = "dataspace-protocol-http:2025-1"
CHOICES = {"edr": ("cache", "callback"), "transfer": ("pull", "push")}


def edc_of(connection: Connection, lake: Lake, journal: ExchangeJournal) -> EdcConnector:
    """Return the EDC that a connection of the kind ``edc`` describes.

    ``password`` is the key of the management API; extra: ``protocol``, ``management_api`` (``v3``, ``v4beta`` or ``v4``),
    ``data_keys`` (tier to key of the data app, for providers whose files come from it), ``edr`` (``cache``, or ``callback``
    for connectors that have no cache of addresses), ``transfer`` (``pull`` or ``push``), and for call-backs and pushes
    ``inbox_url``, where the connectors reach the receiver.

    :param lake: the party's lake; the receiver puts what arrives into it.
    :raises InputError: a field is missing or of another form.
    """
    from battery_pilot.services.connectors.edc import EdcConnector
    from battery_pilot.services.connectors.edc_profiles import profile_of

    extra: dict[str, Any] = connection.extra_dejson
    return EdcConnector(
        address_of(connection),
        api_key=connection.password or "",
        participant_id=extra["participant_id"],
        protocol=extra.get("protocol", PROTOCOL),
        data_hosts=data_hosts_of(connection),
        journal=journal,
        profile=profile_of(extra.get("management_api", "v3")),
        inbox=_inbox(connection, lake),
        is_push=_choice(connection, "transfer") == "push",
        data_keys=data_keys_of(connection),
    )


def _inbox(connection: Connection, lake: Lake) -> Inbox | None:
    from battery_pilot.services.connectors.inbox import Inbox, inbox_of

    if (_choice(connection, "edr"), _choice(connection, "transfer")) == ("cache", "pull"):
        return None
    url = connection.extra_dejson.get("inbox_url")
    if "://" not in str(url):
        raise InputError(
            f"connection {connection.conn_id}: inbox_url is {url!r}, expected where the connectors reach the receiver, for "
            "example http://receiver:8080"
        )
    return Inbox(inbox_of(lake.root), str(url))


def _choice(connection: Connection, name: str) -> str:
    choices = CHOICES[name]
    found = str(connection.extra_dejson.get(name, choices[0]))
    if found not in choices:
        raise InputError(
            f"connection {connection.conn_id}: {name} is {found!r}, expected one of {', '.join(choices)}"
        )
    return found
