from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.api_fastapi.core_api import security
from airflow.sdk import BaseHook
from fastapi import HTTPException
from fastapi.testclient import TestClient

from battery_pilot.lake import Lake
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.negotiations import exchanges_of
from battery_pilot.services.connectors.exchanges import Exchange, ExchangeJournal
from battery_pilot_airflow import pages
from battery_pilot_airflow.links import NegotiationsLink
from battery_pilot_airflow.operators.consume import NegotiateContractsOperator, PullPassportsOperator
from battery_pilot_airflow.pages import Pages

RUN = "manual__2026-01-01T00:00:00+00:00"
HOSTILE = "<script>alert('x')</script>"
REFUSAL = "Policy not fulfilled: <b>no</b> recycler"


@pytest.fixture
def consumer(installation):
    """A run with a refused negotiation of a hostile name and an agreed one."""
    lake = Lake(installation / "lake" / "consumer")
    journal = journal_of(lake)
    contracts = [
        Contract("passport:public:B2", "B2", "you", negotiation_id="n-2", agreement_id="a-2"),
        Contract(HOSTILE, "B1", "you", negotiation_id="n-1", error=REFUSAL),
    ]
    journal.put(*contracts)
    journal.want(RUN, *contracts)
    ExchangeJournal(exchanges_of(lake)).put(
        Exchange("n-1", "POST", "http://edc/negotiations", {"token": "SECRET", "offer": HOSTILE}, 400, REFUSAL)
    )
    return lake


@pytest.fixture
def reader(monkeypatch):
    """Somebody whom Airflow lets read; the check of Airflow is asked with what it is asked for."""
    asked = []

    def allow(*arguments):
        asked.append(arguments)
        return lambda: None

    monkeypatch.setattr(security, "requires_access_dag", allow)
    client = TestClient(Pages())
    client.asked = asked
    return client


def test_a_run_is_told_with_its_refusals_first_and_nothing_of_a_counterparty_is_executed(consumer, reader):
    answer = reader.get("/negotiations", params={"run": RUN})
    assert answer.status_code == 200
    assert "2 assets wanted, 1 with an agreement, 1 without a result" in answer.text
    assert "&lt;b&gt;no&lt;/b&gt; recycler" in answer.text
    assert "<script>" not in answer.text
    assert answer.text.index("recycler") < answer.text.index("passport:public:B2")
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_whole_story_of_a_negotiation_is_told_without_secrets(consumer, reader):
    text = reader.get("/negotiations/n-1").text
    assert "POST http://edc/negotiations" in text
    assert "Policy not fulfilled" in text
    assert "SECRET" not in text
    assert "<script>" not in text


def test_an_asset_of_any_name_is_found_by_its_link(consumer, reader):
    listed = reader.get("/negotiations", params={"run": RUN}).text
    address = listed.partition('href="/battery-pilot')[2].partition('"')[0]
    assert "Policy not fulfilled" in reader.get(address).text


@pytest.mark.parametrize("address", ["/negotiations?run=other", "/negotiations/n-9"])
def test_what_is_not_known_is_said_in_one_sentence(consumer, reader, address):
    answer = reader.get(address)
    assert answer.status_code == 404
    assert "nothing is known of" in answer.text


def test_an_installation_without_a_consumer_has_pages_too(installation, reader):
    assert reader.get("/negotiations/n-1").status_code == 404
    assert not (installation / "lake" / "consumer").exists()


def test_a_large_run_makes_a_page_of_bounded_size(consumer, reader, monkeypatch):
    monkeypatch.setattr(pages, "MOST_CONTRACTS", 1)
    text = reader.get("/negotiations", params={"run": RUN}).text
    assert "The first 1 are shown" in text
    assert "passport:public:B2" not in text


def test_who_may_not_read_the_logs_of_the_consumer_may_not_read_the_pages(consumer, monkeypatch):
    def refuse(method, entity, dag_id):
        assert (method, entity.value, dag_id) == ("GET", "TASK_LOGS", "consume_passports")

        def check():
            raise HTTPException(403)

        return check

    monkeypatch.setattr(security, "requires_access_dag", refuse)
    client = TestClient(Pages())
    assert {client.get(path).status_code for path in ("/negotiations?run=r", "/negotiations/n-1")} == {403}


def test_nobody_reads_the_pages_without_a_login(consumer):
    client = TestClient(Pages())
    assert {client.get(path).status_code for path in ("/negotiations?run=r", "/negotiations/n-1")} == {401}


@pytest.mark.parametrize("operator", [NegotiateContractsOperator, PullPassportsOperator])
def test_the_task_links_to_the_story_of_its_run(operator, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow:8080/")
    monkeypatch.delattr(BaseHook, "get_connection")
    task = operator(task_id="t", connector_conn_id="edc")
    (link,) = [one for one in task.operator_extra_links if isinstance(one, NegotiationsLink)]
    address = link.get_link(task, ti_key=SimpleNamespace(run_id=RUN))
    assert address == ("http://airflow:8080/battery-pilot/negotiations?run=manual__2026-01-01T00%3A00%3A00%2B00%3A00")
