"""Hooks: they build the library's clients from Airflow connections. Nobody else reads a connection.

A connection's fields: ``host`` is the server's base address with its scheme; ``login`` and ``password`` are basic
credentials (a connector's ``password`` is its API key); ``extra`` holds what is particular to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from battery_pilot.passport.history import HistoryStore
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.orion import Orion


def address_of(connection: Connection) -> str:
    """Return the base address of a connection's server.

    :raises InputError: if the connection's host is no address with a scheme.
    """
    host = connection.host or ""
    if "://" not in host:
        shown = host.rpartition("@")[2]  # before it may stand a password
        raise InputError(
            f"connection {connection.conn_id}: host is {shown!r}, expected an address with its scheme, "
            "for example http://aasx-server:5001"
        )
    parts = urlsplit(host)
    port = f":{connection.port}" if connection.port else ""
    return parts._replace(netloc=f"{parts.netloc}{port}").geturl().rstrip("/")


def _basic(connection: Connection) -> tuple[str, str] | None:
    return (connection.login, connection.password or "") if connection.login else None


class AasServerHook(BaseHook):
    """Client of an AASX Server.

    :param conn_id: Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    def get_conn(self) -> AasServer:
        """Return the client."""
        from battery_pilot.services.aas_server import AasServer

        connection = self.get_connection(self.conn_id)
        return AasServer(address_of(connection), auth=_basic(connection))


class OrionHook(BaseHook):
    """Client of a FIWARE Orion context broker; extra: ``service``, ``service_path``.

    :param conn_id: Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    def get_conn(self) -> Orion:
        """Return the client."""
        from battery_pilot.services.orion import Orion

        connection = self.get_connection(self.conn_id)
        extra = connection.extra_dejson
        return Orion(
            address_of(connection),
            service=extra.get("service"),
            service_path=extra.get("service_path", "/"),
            auth=_basic(connection),
        )


class ConnectorHook(BaseHook):
    """A party's data-space connector.

    Extra: ``participant_id``, ``protocol``; for a provider ``asset_base_url`` (where the counterparty's data come
    from); for a consumer ``counterparty_id``, ``counterparty_url`` and ``data_hosts``, the list of hosts from which data
    may be fetched (by default the host of ``counterparty_url``).

    :param conn_id: Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    def get_conn(self) -> ConnectorParty:
        """Return the connector with what the connection says of its parties."""
        return party_of(self.get_connection(self.conn_id))

    async def aget_conn(self) -> ConnectorParty:
        """Return the same, from within a trigger."""
        return party_of(await self.aget_connection(self.conn_id))


def party_of(connection: Connection) -> ConnectorParty:
    """Return the connector that a connection describes.

    :raises InputError: if the connection names an unknown kind of connector or lacks a field.
    """
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.connectors.edc import EdcConnector

    extra: dict[str, Any] = connection.extra_dejson
    kind = extra.get("kind", "edc")
    if kind != "edc":
        raise InputError(f"connection {connection.conn_id}: kind {kind!r} is not known, expected 'edc'")
    if not extra.get("participant_id"):
        raise InputError(
            f"connection {connection.conn_id}: extra lacks participant_id, the connector's name in the data space"
        )
    connector = EdcConnector(
        address_of(connection),
        api_key=connection.password or "",
        participant_id=extra["participant_id"],
        protocol=extra.get("protocol", "dataspace-protocol-http:2025-1"),
        data_hosts=_data_hosts(connection),
    )
    return ConnectorParty(
        connector=connector,
        asset_base_url=extra.get("asset_base_url"),
        counterparty_id=extra.get("counterparty_id"),
        counterparty_url=extra.get("counterparty_url"),
    )


def _data_hosts(connection: Connection) -> list[str] | None:
    extra: dict[str, Any] = connection.extra_dejson
    hosts = extra.get("data_hosts")
    if hosts is None:
        host = urlsplit(extra.get("counterparty_url") or "").hostname
        return [host] if host else None
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise InputError(
            f'connection {connection.conn_id}: data_hosts is {hosts!r}, expected a list such as ["data.example.com"]'
        )
    return hosts


def history_store() -> HistoryStore:
    """Return where the provider's history is kept: a MongoDB where one is configured, else SQLite in the lake."""
    from battery_pilot.settings import load

    settings = load()
    if settings.history_connection is None:
        from battery_pilot.passport.history import SqliteHistory

        path = settings.lake / "provider" / "history.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteHistory(path)

    from battery_pilot.services.history_mongo import MongoHistory

    connection = BaseHook.get_connection(settings.history_connection)
    return MongoHistory(
        connection.get_uri().replace("mongo://", "mongodb://", 1), connection.schema or "battery_pilot"
    )
