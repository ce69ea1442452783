"""TRUE Connectors from Airflow connections; see :func:`battery_pilot_airflow.hooks.party_of`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.passport.model import Tier
from battery_pilot_airflow.hooks import address_of, data_hosts_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from battery_pilot.lake import Lake
    from battery_pilot.services.connectors.exchanges import ExchangeJournal
    from battery_pilot.services.connectors.true_dsp import TrueDspConnector
    from battery_pilot.services.connectors.true_ids import TrueIdsConnector


def true_dsp_of(connection: Connection, journal: ExchangeJournal) -> TrueDspConnector:
    """Return the TRUE Connector DSP that a connection of the kind ``true-dsp`` describes.

    ``login`` and ``password`` are an administrator's; extra: ``data_keys`` (tier to key of the data app, for providers whose
    files come from it).

    :raises InputError: a field is missing or of another form.
    """
    from battery_pilot.services.connectors.true_dsp import TrueDspConnector

    user, password = _login(connection)
    return TrueDspConnector(
        address_of(connection),
        user=user,
        password=password,
        participant_id=connection.extra_dejson["participant_id"],
        data_keys=data_keys_of(connection),
        data_hosts=data_hosts_of(connection),
        journal=journal,
    )


def true_ids_of(connection: Connection, lake: Lake) -> TrueIdsConnector:
    """Return the TRUE Connector v1 that a connection of the kind ``true-ids`` describes.

    ``login`` and ``password`` are those of the self-description API; extra: ``proxy_url``, ``proxy_login`` and
    ``proxy_password`` (consumers), ``usage_control``, and for WebSocket ``forward_to_internal`` and ``data_lake``.

    :param lake: the party's lake; agreements are kept in it.
    :raises InputError: a field is missing or of another form.
    """
    from battery_pilot.services.connectors.true_ids import TrueIdsConnector

    extra: dict[str, Any] = connection.extra_dejson
    proxy_url = extra.get("proxy_url")
    if proxy_url and "://" not in str(proxy_url):
        raise InputError(
            f"connection {connection.conn_id}: proxy_url is {proxy_url!r}, expected an address with its scheme"
        )
    return TrueIdsConnector(
        address_of(connection),
        ecc_login=_login(connection),
        participant_id=extra["participant_id"],
        memory=lake.root / "ids",
        proxy_url=proxy_url,
        proxy_login=(extra.get("proxy_login") or "", extra.get("proxy_password") or "") if proxy_url else None,
        has_usage_control=extra.get("usage_control") is True,
        forward_to_internal=extra.get("forward_to_internal"),
        data_lake=Path(extra["data_lake"]) if extra.get("data_lake") else None,
    )


def _login(connection: Connection) -> tuple[str, str]:
    if not connection.login or not connection.password:
        raise InputError(f"connection {connection.conn_id}: a TRUE Connector needs login and password")
    return connection.login, connection.password


def data_keys_of(connection: Connection) -> dict[Tier, str]:
    """Return what a connector must show to the data app: tier to key.

    :raises InputError: they are of another form.
    """
    keys = connection.extra_dejson.get("data_keys") or {}
    if (
        not isinstance(keys, dict)
        or not set(keys) <= set(Tier)
        or not all(isinstance(key, str) for key in keys.values())
    ):
        raise InputError(
            f"connection {connection.conn_id}: data_keys: expected an object of {', '.join(Tier)} to a key"
        )
    return {Tier(tier): key for tier, key in keys.items()}
