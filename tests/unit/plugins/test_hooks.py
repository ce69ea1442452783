from __future__ import annotations

import asyncio

import pytest

from battery_pilot.errors import InputError
from battery_pilot.passport.history import SqliteHistory
from battery_pilot.services import history_mongo
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.connectors import edc
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.exchanges import ExchangeJournal
from battery_pilot.services.orion import Orion
from battery_pilot_airflow import hooks
from battery_pilot_airflow.hooks import AasServerHook, ConnectorHook, OrionHook, history_signer, history_store
from battery_pilot_airflow.links import AasServerLink, ConnectorLink
from battery_pilot_airflow.operators import consume, provide

SECRET = "s3cret-pa55word"
CONNECTOR = {
    "host": "http://edc:8081/management",
    "password": SECRET,
    "extra": {
        "participant_id": "me",
        "protocol": "dataspace-protocol-http",
        "asset_base_url": "http://outbox/",
        "counterparty_id": "you",
        "counterparty_url": "http://you/protocol",
    },
}


@pytest.fixture
def built(monkeypatch):
    """Record with what a client was built."""
    calls = []

    def watch(module, name):
        real = getattr(module, name)

        def build(*given, **named):
            calls.append((given, named))
            return real(*given, **named)

        monkeypatch.setattr(module, name, build)
        return calls

    return watch


def test_the_aas_client_gets_address_and_credentials(connection, built):
    from battery_pilot.services import aas_server

    calls = built(aas_server, "AasServer")
    connection("aas", host="https://aasx", port=5001, login="user", password=SECRET)
    assert isinstance(AasServerHook("aas").get_conn(), AasServer)
    assert calls == [(("https://aasx:5001",), {"auth": ("user", SECRET)})]


def test_a_connection_without_a_login_sends_no_credentials(connection, built):
    from battery_pilot.services import aas_server

    calls = built(aas_server, "AasServer")
    connection("aas", host="http://aasx:5001/")
    AasServerHook("aas").get_conn()
    assert calls == [(("http://aasx:5001",), {"auth": None})]


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("http://aasx", 5001, "http://aasx:5001"),
        ("http://aasx:5001", None, "http://aasx:5001"),
        ("http://aasx/api/v3.0/", None, "http://aasx/api/v3.0"),
        ("http://aasx/api/v3.0", 5001, "http://aasx:5001/api/v3.0"),
    ],
)
def test_host_and_port_make_an_address(connection, host, port, address):
    connection("aas", host=host, port=port)
    assert hooks.address_of(AasServerHook.get_connection("aas")) == address


def test_the_context_broker_client_gets_tenant_and_path(connection, built):
    from battery_pilot.services import orion

    calls = built(orion, "Orion")
    connection(
        "orion", host="http://orion:1026", login="u", password=SECRET, extra={"service": "dbp", "service_path": "/b"}
    )
    assert isinstance(OrionHook("orion").get_conn(), Orion)
    assert calls == [(("http://orion:1026",), {"service": "dbp", "service_path": "/b", "auth": ("u", SECRET)})]


def test_the_way_through_the_agent_needs_its_addresses(connection):
    connection("orion", host="http://orion:1026", extra={"service": "dbp"})
    with pytest.raises(InputError, match="lacks agent_url, agent_south_url, agent_key"):
        OrionHook("orion").broker("agent")


def test_the_agent_gets_tenant_and_path_of_the_broker(connection, built):
    from battery_pilot.services import aas_agent

    calls = built(aas_agent, "AasAgent")
    extra = {"service": "dbp", "service_path": "/b", "agent_url": "http://a:4041", "agent_south_url": "http://a:7896"}
    connection("orion", host="http://orion:1026", extra={**extra, "agent_key": "k"})
    broker = OrionHook("orion").broker("agent")
    (((orion, *addresses), options),) = calls
    assert addresses == ["http://a:4041", "http://a:7896"]
    assert options == {"api_key": "k", "service": "dbp", "service_path": "/b"}
    assert broker.place == orion.place
    assert broker.place == OrionHook("orion").broker("direct").place


def test_a_way_that_does_not_exist_is_refused(connection):
    connection("orion", host="http://orion:1026")
    with pytest.raises(InputError, match="expected 'direct' or 'agent'"):
        OrionHook("orion").broker("sideways")


def test_a_context_broker_without_extra_means_the_default_tenant(connection, built):
    from battery_pilot.services import orion

    calls = built(orion, "Orion")
    connection("orion", host="http://orion:1026")
    OrionHook("orion").get_conn()
    assert calls == [(("http://orion:1026",), {"service": None, "service_path": "/", "auth": None})]


def test_the_connector_gets_key_and_parties(connection, built):
    calls = built(edc, "EdcConnector")
    connection("edc", **CONNECTOR)
    party = ConnectorHook("edc").get_conn()
    assert isinstance(party.connector, EdcConnector)
    ((place, options),) = calls
    assert place == ("http://edc:8081/management",)
    assert isinstance(options["journal"], ExchangeJournal)
    assert (
        options.items()
        >= {
            "api_key": SECRET,
            "participant_id": "me",
            "protocol": "dataspace-protocol-http",
            "data_hosts": ["you"],
        }.items()
    )
    assert party.outbox_url == "http://outbox"
    assert (party.counterparty.participant_id, party.counterparty.protocol_url) == ("you", "http://you/protocol")


def test_a_trigger_gets_the_same_connector(connection):
    connection("edc", **CONNECTOR)
    party = asyncio.run(ConnectorHook("edc").aget_conn())
    assert party.counterparty == ConnectorHook("edc").get_conn().counterparty


@pytest.mark.parametrize("hook", [AasServerHook, OrionHook, ConnectorHook])
@pytest.mark.parametrize("host", ["aasx", "aasx:5001", "", None])
def test_a_host_without_a_scheme_is_refused_by_the_name_of_the_connection(connection, hook, host):
    connection("strange", host=host, extra={"participant_id": "me"})
    with pytest.raises(InputError, match="^connection strange: host is .* expected an address with its scheme"):
        hook("strange").get_conn()


def test_a_connector_without_participant_id_is_refused(connection):
    connection("edc", host="http://edc", extra={})
    with pytest.raises(InputError, match="^connection edc: extra lacks participant_id"):
        ConnectorHook("edc").get_conn()


def test_a_connector_of_an_unknown_kind_is_refused(connection):
    connection("edc", host="http://edc", extra={"kind": "fax", "participant_id": "me"})
    with pytest.raises(
        InputError, match="^connection edc: kind 'fax' is not known, expected one of edc, true-dsp, true-ids$"
    ):
        ConnectorHook("edc").get_conn()


def chained(error):
    while error is not None:
        yield str(error)
        yield repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("hook", [AasServerHook, OrionHook, ConnectorHook])
@pytest.mark.parametrize(
    "fields",
    [
        {"host": f"user:{SECRET}@aasx"},
        {"host": "aasx", "login": "user", "password": SECRET},
        {"host": "ftp://aasx", "login": "user", "password": SECRET, "extra": {"participant_id": "me"}},
        {"host": f"ftp://user:{SECRET}@aasx", "extra": {"participant_id": "me"}},
        {"host": "http://aasx", "password": SECRET, "extra": {"service": "Not Valid", "kind": "fax"}},
    ],
)
def test_no_error_about_a_connection_holds_its_secret(connection, hook, fields):
    connection("secretive", **fields)
    try:
        shown = [repr(hook("secretive").get_conn())]
    except InputError as error:
        shown = list(chained(error))
    assert not [text for text in shown if SECRET in text]


def test_no_client_shows_its_secret(connection):
    connection("aas", host="http://aasx", login="user", password=SECRET)
    connection("edc", **CONNECTOR)
    clients = [AasServerHook("aas").get_conn(), OrionHook("aas").get_conn(), ConnectorHook("edc").get_conn()]
    for client in (*clients, AasServerHook("aas"), ConnectorHook("edc")):
        assert SECRET not in repr(client) + str(client)


def test_without_a_connection_the_history_lies_in_the_lake(installation):
    history = history_store()
    assert isinstance(history, SqliteHistory)
    assert history.path == installation / "lake" / "provider" / "history.sqlite"
    assert history.count() == 0


@pytest.mark.parametrize(("schema", "database"), [("passports", "passports"), (None, "battery_pilot")])
def test_a_configured_mongodb_keeps_the_history(connection, monkeypatch, schema, database):
    built = []
    monkeypatch.setattr(history_mongo, "MongoHistory", lambda *given: built.append(given))
    monkeypatch.setenv("BATTERY_PILOT_HISTORY_CONNECTION", "history")
    connection("history", conn_type="mongo", host="mongo", port=27017, login="u", password="p@ss", schema=schema)
    history_store()
    ((uri, name),) = built
    assert uri.startswith("mongodb://u:p%40ss@mongo:27017")
    assert name == database


SIGNING_KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""  # of RFC 8037, appendix A.1


def test_histories_are_signed_with_the_key_of_a_connection_or_of_a_file(connection, monkeypatch, tmp_path, caplog):
    assert history_signer() is None
    (tmp_path / "key.pem").write_text(SIGNING_KEY)
    monkeypatch.setenv("BATTERY_PILOT_SIGNING_KEY_FILE", str(tmp_path / "key.pem"))
    from_file = history_signer()
    monkeypatch.setenv("BATTERY_PILOT_SIGNING_CONNECTION", "signing")
    connection("signing", password=SIGNING_KEY)
    assert history_signer().key_id == from_file.key_id
    connection("signing", password="geheim")
    with pytest.raises(InputError, match="no unencrypted Ed25519 key") as caught:
        history_signer()
    assert "geheim" not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    ("task", "link", "address"),
    [
        (provide.PushPassportsOperator(task_id="t", aas_conn_id="aas"), AasServerLink, "http://aasx:5001/shells"),
        (consume.UpdateTwinsOperator(task_id="t", aas_conn_id="aas"), AasServerLink, "http://aasx:5001/shells"),
        (
            consume.WriteBackPredictionsOperator(task_id="t", aas_conn_id="aas", orion_conn_id="o"),
            AasServerLink,
            "http://aasx:5001/shells",
        ),
        (provide.PublishOffersOperator(task_id="t", connector_conn_id="edc"), ConnectorLink, CONNECTOR["host"]),
        (consume.NegotiateContractsOperator(task_id="t", connector_conn_id="edc"), ConnectorLink, CONNECTOR["host"]),
        (consume.PullPassportsOperator(task_id="t", connector_conn_id="edc"), ConnectorLink, CONNECTOR["host"]),
    ],
    ids=lambda value: getattr(value, "task_type", None) or getattr(value, "__name__", ""),
)
def test_a_task_links_to_the_server_it_talks_to_and_shows_no_secret(connection, task, link, address):
    connection("aas", host=f"http://user:{SECRET}@aasx", port=5001)
    connection("edc", **CONNECTOR)
    (found,) = [one for one in task.operator_extra_links if isinstance(one, link)]
    assert found.get_link(task, ti_key=None) == address


@pytest.mark.parametrize(
    ("fields", "hosts"),
    [
        ({"counterparty_url": "https://You.example.com:8443/protocol"}, ["you.example.com"]),
        ({"counterparty_url": "http://you/protocol", "data_hosts": ["data.example.com"]}, ["data.example.com"]),
        ({}, None),
    ],
)
def test_data_come_from_the_counterpartys_host_unless_others_are_named(connection, built, fields, hosts):
    calls = built(edc, "EdcConnector")
    connection("edc", host="http://edc", extra={"participant_id": "me", **fields})
    ConnectorHook("edc").get_conn()
    assert calls[0][1]["data_hosts"] == hosts


@pytest.mark.parametrize("hosts", ["data.example.com", [1]])
def test_data_hosts_that_are_no_list_of_names_are_refused(connection, hosts):
    connection("edc", host="http://edc", extra={"participant_id": "me", "data_hosts": hosts})
    with pytest.raises(InputError, match="^connection edc: data_hosts is .*, expected a list"):
        ConnectorHook("edc").get_conn()
