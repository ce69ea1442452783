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
    from battery_pilot.passport.signature import Signer
    from battery_pilot.pipeline.broker_sync import Broker
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.connectors.base import Connector
    from battery_pilot.services.orion import Orion

CONNECTOR_KINDS = ("edc", "true-dsp", "true-ids")
"""Eclipse EDC, TRUE Connector for the Dataspace Protocol, TRUE Connector v1 (IDS)."""


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

    For writing through the FIWARE AAS Agent the extra also has ``agent_url`` (north port), ``agent_south_url`` and
    ``agent_key``.

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

    def broker(self, way: str = "direct") -> Broker:
        """Return what entities are written to.

        :param way: ``direct``, or ``agent`` for writing through the FIWARE AAS Agent.
        :raises InputError: the way is neither, or the connection lacks what the agent needs.
        """
        if way == "direct":
            return self.get_conn()
        if way != "agent":
            raise InputError(f"the way to the context broker is {way!r}: expected 'direct' or 'agent'")
        from battery_pilot.services.aas_agent import AasAgent

        extra = self.get_connection(self.conn_id).extra_dejson
        lacking = [name for name in ("service", "agent_url", "agent_south_url", "agent_key") if not extra.get(name)]
        if lacking:
            raise InputError(f"connection {self.conn_id}: for the AAS Agent its extra lacks {', '.join(lacking)}")
        return AasAgent(
            self.get_conn(),
            extra["agent_url"],
            extra["agent_south_url"],
            api_key=extra["agent_key"],
            service=extra["service"],
            service_path=extra.get("service_path", "/"),
        )


class ConnectorHook(BaseHook):
    """A party's data-space connector.

    Extra: ``kind`` (``edc``, ``true-dsp`` or ``true-ids``; what they need besides stands in
    :mod:`battery_pilot_airflow.edc_connectors` and :mod:`battery_pilot_airflow.true_connectors`), ``participant_id``; for a provider
    ``asset_base_url`` (where the counterparty's data come from); for a consumer ``counterparty_id``,
    ``counterparty_url`` and ``data_hosts``, the list of hosts from which data may be fetched (by default the host of
    ``counterparty_url``).

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
    from battery_pilot.pipeline.negotiations import exchanges_of
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.connectors.exchanges import ExchangeJournal
    from battery_pilot_airflow.common import consumer_lake, provider_lake
    from battery_pilot_airflow.edc_connectors import edc_of
    from battery_pilot_airflow.true_connectors import true_dsp_of, true_ids_of

    extra: dict[str, Any] = connection.extra_dejson
    kind = extra.get("kind", "edc")
    if kind not in CONNECTOR_KINDS:
        raise InputError(
            f"connection {connection.conn_id}: kind {kind!r} is not known, expected one of {', '.join(CONNECTOR_KINDS)}"
        )
    if not extra.get("participant_id"):
        raise InputError(
            f"connection {connection.conn_id}: extra lacks participant_id, the connector's name in the data space"
        )
    lake = consumer_lake() if extra.get("counterparty_id") else provider_lake()
    journal = ExchangeJournal(exchanges_of(lake))
    connector: Connector
    if kind == "true-dsp":
        connector = true_dsp_of(connection, journal)
    elif kind == "true-ids":
        connector = true_ids_of(connection, lake)
    else:
        connector = edc_of(connection, lake, journal)
    return ConnectorParty(
        connector=connector,
        asset_base_url=extra.get("asset_base_url"),
        counterparty_id=extra.get("counterparty_id"),
        counterparty_url=extra.get("counterparty_url"),
    )


def data_hosts_of(connection: Connection) -> list[str] | None:
    """Return the hosts from which data may be fetched, ``None`` for any: by default the counterparty's.

    :raises InputError: they are no list of names.
    """
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


def history_signer() -> Signer | None:
    """Return what signs the provider's histories: the key of a connection or of a file, where one is configured."""
    from battery_pilot.passport.signature import read_signer
    from battery_pilot.settings import load

    settings = load()
    if settings.signing_connection:
        return read_signer((BaseHook.get_connection(settings.signing_connection).password or "").encode())
    return read_signer(settings.signing_key.read_bytes()) if settings.signing_key else None


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
