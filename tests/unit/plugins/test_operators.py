from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from battery_pilot.errors import InputError, NegotiationFailed
from battery_pilot.lake import Lake, Window, write_bytes, write_json, write_lines
from battery_pilot.passport.history import SqliteHistory
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline import acquire, build, expiry, health_history, offers, release, twins
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.model import Agreement, CatalogueEntry, Counterparty, Transfer, TransferState
from battery_pilot.services.connectors.policies import Demands
from battery_pilot.services.orion import Orion
from battery_pilot_airflow.hooks import AasServerHook, ConnectorHook, OrionHook
from battery_pilot_airflow.operators.consume import (
    ApplyFieldValuesOperator,
    NegotiateContractsOperator,
    PullPassportsOperator,
    RemoveExpiredOperator,
    SubscribeContextBrokerOperator,
    SyncContextBrokerOperator,
    UpdateTwinsOperator,
    VerifyPassportsOperator,
    WriteBackPredictionsOperator,
)
from battery_pilot_airflow.operators.provide import (
    BuildPassportsOperator,
    DiscoverFilesOperator,
    PublishOffersOperator,
    PushPassportsOperator,
    RecordHistoryOperator,
)
from battery_pilot_airflow.operators.spark import SparkJobOperator
from battery_pilot_airflow.operators.train import CollectHistoryOperator
from battery_pilot_airflow.triggers.connector import ContractsTrigger

JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
RUN = "scheduled__2026-01-01"


@pytest.fixture
def provider(installation):
    return Lake(installation / "lake" / "provider")


@pytest.fixture
def consumer(installation):
    return Lake(installation / "lake" / "consumer")


@pytest.fixture
def party(monkeypatch):
    """The party that the hook of the connection ``edc`` gives; its connector is a double."""
    found = ConnectorParty(create_autospec(EdcConnector, instance=True), "http://outbox", "you", "http://you")

    def get_conn(self):
        assert self.conn_id == "edc"
        return found

    monkeypatch.setattr(ConnectorHook, "get_conn", get_conn)
    return found


@pytest.fixture
def server(monkeypatch):
    double = create_autospec(AasServer, instance=True)
    monkeypatch.setattr(AasServerHook, "get_conn", lambda self: double if self.conn_id == "aas" else None)
    return double


@pytest.fixture
def broker(monkeypatch):
    double = create_autospec(Orion, instance=True, place="http://orion battery /dbp")
    monkeypatch.setattr(OrionHook, "get_conn", lambda self: double if self.conn_id == "orion" else None)
    return double


@pytest.fixture
def stage(monkeypatch):
    """Replace a stage of the pipeline by a double with its signature."""

    def replace(module, name, result):
        double = create_autospec(getattr(module, name), return_value=result)
        monkeypatch.setattr(module, name, double)
        return double

    return replace


def put_landing_file(installation):
    write_bytes(installation / "landing" / "2026-01-31" / "BP-1.csv", b"x")


def test_discover_lists_the_files_of_the_window(installation, provider, context):
    put_landing_file(installation)
    found = DiscoverFilesOperator(task_id="discover").execute(context)
    assert found["files"] == 1
    assert found["manifest"] == str(provider.root / "manifests" / "files" / f"{JANUARY.key}.jsonl")


def test_discover_takes_the_window_and_the_folder_of_the_parameters(tmp_path, context):
    write_bytes(tmp_path / "other" / "2025-03-05" / "a.csv", b"x")
    context["params"] = {"window_start": "2025-03-01T00:00:00Z", "window_end": "2025-04-01T00:00:00Z"}
    found = DiscoverFilesOperator(task_id="discover", landing=str(tmp_path / "other")).execute(context)
    assert found["files"] == 1
    assert "20250301T000000Z_20250401T000000Z" in found["manifest"]


def test_a_window_without_files_skips_the_rest_of_the_run(installation, context):
    (installation / "landing").mkdir()
    with pytest.raises(AirflowSkipException, match=f"no files in {installation / 'landing'} for {JANUARY.key}"):
        DiscoverFilesOperator(task_id="discover").execute(context)


def test_a_run_without_a_window_fails_before_it_looks_anywhere(context):
    del context["data_interval_start"]
    with pytest.raises(InputError, match="this run has no window"):
        DiscoverFilesOperator(task_id="discover").execute(context)


def test_build_checks_the_rejects_first_and_returns_all_counts(installation, provider, context, stage):
    staged = provider.staging()
    write_json(staged / "counts.json", {"files_read": 10, "files_rejected": 3})
    provider.publish("files", JANUARY, staged)
    double = stage(build, "build", {"batteries": 2, "passports": 2})
    stage(build, "count_measured", 2)

    with pytest.raises(InputError, match="3 of 10 files were rejected"):
        BuildPassportsOperator(task_id="build").execute(context)
    double.assert_not_called()

    # A rendered template is a text.
    counts = BuildPassportsOperator(task_id="build", reject_threshold_percent="30").execute(context)
    assert counts == {"files_read": 10, "files_rejected": 3, "batteries": 2, "passports": 2}
    (lake, master, window, base), named = double.call_args
    assert (lake, master, window, base) == (provider, installation / "master", JANUARY, "https://example.com/dbp")
    assert named["workers"] >= 1


def test_build_of_a_fleet_is_a_spark_job_and_of_fewer_batteries_none(
    installation, provider, context, stage, monkeypatch
):
    stage(build, "check_rejects", {"files_read": 1, "files_rejected": 0})
    stage(build, "count_measured", 30)
    alone = stage(build, "build", {"passports": 30})
    seen = []

    def run_job(self, context):
        seen.append(self.job_arguments(context))
        return {"job": "build_passports", "passports": 30}

    monkeypatch.setattr(SparkJobOperator, "execute", run_job)
    assert BuildPassportsOperator(task_id="build", spark_from_batteries="31").execute(context)["passports"] == 30
    assert (alone.call_count, seen) == (1, [])
    found = BuildPassportsOperator(task_id="build", spark_from_batteries="30").execute(context)
    assert found == {"files_read": 1, "files_rejected": 0, "job": "build_passports", "passports": 30}
    assert alone.call_count == 1
    words = ["--lake", str(provider.root), "--window", JANUARY.key, "--master", str(installation / "master")]
    assert seen == [[*words, "--base-iri", "https://example.com/dbp"]]


def test_push_hands_over_the_server_and_the_history(provider, context, server, stage):
    double = stage(release, "push", {"pushed": 2, "kept_newer": 0})
    assert PushPassportsOperator(task_id="push", aas_conn_id="aas").execute(context) == {"pushed": 2, "kept_newer": 0}
    (lake, window, given, history, base), _ = double.call_args
    assert (lake, window, given, base) == (provider, JANUARY, server, "https://example.com/dbp")
    assert isinstance(history, SqliteHistory)


def test_a_dry_run_pushes_nothing(context, server, stage):
    double = stage(release, "push", {})
    context["params"]["dry_run"] = True
    with pytest.raises(AirflowSkipException, match="dry run: nothing is pushed"):
        PushPassportsOperator(task_id="push", aas_conn_id="aas").execute(context)
    double.assert_not_called()


def test_record_names_the_dag_and_the_window_and_not_what_somebody_called_the_run(provider, context, stage):
    double = stage(release, "record_versions", {"new_versions": 1, "unchanged": 0, "history_versions": 1})
    RecordHistoryOperator(task_id="record").execute(context)
    assert double.call_args.args[0] == provider
    assert double.call_args.args[-1] == f"provide_passports/{JANUARY.key}"


def test_publish_offers_the_tiers_of_the_parameters(provider, context, party, stage):
    double = stage(offers, "publish", {"offers": 2, "kept_newer": 0, "not_current": 0, "closed": 0, "withdrawn": 0})
    context["params"]["tiers"] = ["public", "authority"]
    PublishOffersOperator(task_id="publish", connector_conn_id="edc").execute(context)
    lake, window, _, given, _, tiers = double.call_args.args
    assert (lake, window, given, tiers) == (provider, JANUARY, party, [Tier.PUBLIC, Tier.AUTHORITY])
    assert double.call_args.kwargs["demands"] == Demands()


def test_publish_demands_what_the_form_says(provider, context, party, stage):
    double = stage(offers, "publish", {"offers": 2})
    context["params"] |= {"tiers": ["authority"], "recipients": ["agency"], "roles": None, "valid_days": 30}
    PublishOffersOperator(task_id="publish", connector_conn_id="edc").execute(context)
    assert double.call_args.kwargs["demands"] == Demands(recipients=("agency",), valid_days=30)


def offer(name, tier="legitimate_interest"):
    return CatalogueEntry(
        name, name, {"tier": tier, "batteryId": f"BP-{name}"}, {}, Counterparty("you", "http://you")
    )


def test_negotiate_records_asks_and_waits_without_a_worker(consumer, context, party):
    party.connector.catalogue.return_value = iter([offer("one")])
    party.connector.find_agreement.return_value = None
    party.connector.negotiate.return_value = "n1"
    context["params"]["tier"] = "legitimate_interest"
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        NegotiateContractsOperator(task_id="negotiate", connector_conn_id="edc", patience_second=100).execute(context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, ContractsTrigger)
    assert (trigger.awaited, trigger.run_key, trigger.connector_conn_id) == ("negotiations", RUN, "edc")
    assert before + 100 <= trigger.deadline <= time.time() + 100
    assert deferred.value.method_name == "execute_complete"
    (contract,) = journal_of(consumer).wanted(RUN)
    assert contract.negotiation_id == "n1"
    json.dumps(trigger.serialize())


def ask(context, party):
    """Run the task until it waits, and return it."""
    party.connector.catalogue.return_value = iter([offer("one")])
    party.connector.find_agreement.return_value = None
    party.connector.negotiate.return_value = "n1"
    context["params"]["tier"] = "legitimate_interest"
    task = NegotiateContractsOperator(task_id="negotiate", connector_conn_id="edc")
    with pytest.raises(TaskDeferred):
        task.execute(context)
    return task


def test_a_retry_after_the_worker_was_killed_waits_for_the_same_negotiation(consumer, context, party):
    ask(context, party)
    ask(context, party)
    party.connector.negotiate.assert_called_once()
    (contract,) = journal_of(consumer).wanted(RUN)
    assert contract.negotiation_id == "n1"


def test_a_user_who_ends_the_task_while_it_asks_ends_the_negotiation(consumer, context, party):
    task = ask(context, party)
    task.on_kill()
    party.connector.terminate_negotiation.assert_called_once_with("n1", "cancelled on our side")
    (contract,) = journal_of(consumer).wanted(RUN)
    assert contract.error == "cancelled on our side"


def test_a_task_that_is_ended_before_it_asked_ends_nothing(context, party):
    PullPassportsOperator(task_id="pull", connector_conn_id="edc").on_kill()
    party.connector.terminate.assert_not_called()


def test_negotiate_skips_when_nothing_of_the_tier_is_offered(context, party):
    party.connector.catalogue.return_value = iter([offer("one", tier="public")])
    context["params"]["tier"] = "authority"
    with pytest.raises(AirflowSkipException, match="you offers no passports of tier authority"):
        NegotiateContractsOperator(task_id="negotiate", connector_conn_id="edc").execute(context)
    party.connector.negotiate.assert_not_called()


def test_negotiate_counts_the_outcomes(consumer, context):
    journal = journal_of(consumer)
    journal.put(Contract("one", "BP-1", "you", agreement_id="a"))
    journal.put(Contract("two", "BP-2", "you", error="not a member"))
    journal.want(RUN, *journal.of("you").values())
    task = NegotiateContractsOperator(task_id="negotiate", connector_conn_id="edc")
    assert task.execute_complete(context, {"status": "settled"}) == {"agreements": 1, "refused": 1}


@pytest.mark.parametrize(("pending", "text"), [(3, "^3 negotiations"), (None, "^an unknown number of negotiations")])
def test_a_wait_that_ran_out_of_time_fails_with_the_remedy(context, pending, text):
    task = NegotiateContractsOperator(task_id="negotiate", connector_conn_id="edc", patience_second=60)
    with pytest.raises(
        NegotiationFailed, match=f"{text} had no outcome after 60 s: look at the counterparty"
    ) as error:
        task.execute_complete(context, {"status": "timeout", "pending": pending})
    assert "run this task again" in str(error.value)


def test_pull_starts_the_transfers_and_waits(consumer, context, party):
    journal = journal_of(consumer)
    journal.put(Contract("one", "BP-1", "you", agreement_id="a"))
    journal.want(RUN, *journal.of("you").values())
    party.connector.transfer.return_value = "t1"
    with pytest.raises(TaskDeferred) as deferred:
        PullPassportsOperator(task_id="pull", connector_conn_id="edc").execute(context)
    assert deferred.value.trigger.awaited == "transfers"
    assert journal.get("you", "one").transfer_id == "t1"


def test_pull_fetches_what_has_started(consumer, context, party):
    party.connector.agreement.return_value = Agreement("a", {}, datetime(2026, 1, 1, tzinfo=UTC))
    journal = journal_of(consumer)
    contract = Contract("one", "BP-1", "you", agreement_id="a", transfer_id="t1")
    journal.put(contract)
    journal.want(RUN, *journal.of("you").values())
    party.connector.transfer_state.return_value = Transfer("t1", TransferState.STARTED)
    party.connector.fetch.return_value = b"bundle"
    task = PullPassportsOperator(task_id="pull", connector_conn_id="edc")
    assert task.execute_complete(context, {"status": "settled"}) == {
        "pulled": 1,
        "unchanged": 0,
        "failed": 0,
        "bytes": 6,
    }
    assert acquire.pulled_file(consumer, contract).read_bytes() == b"bundle"


def test_pull_does_not_fetch_when_the_wait_ran_out_of_time(context, party):
    with pytest.raises(NegotiationFailed, match="^2 transfers had no outcome"):
        PullPassportsOperator(task_id="pull", connector_conn_id="edc").execute_complete(
            context, {"status": "timeout", "pending": 2}
        )
    party.connector.fetch.assert_not_called()


def test_verify_works_on_what_the_run_pulled(consumer, context, stage):
    double = stage(twins, "verify", {"verified": 1})
    context["params"]["tier"] = "authority"
    assert VerifyPassportsOperator(task_id="verify").execute(context) == {"verified": 1}
    lake, journal, run, tier = double.call_args.args
    assert (lake, journal.path, run, tier) == (consumer, journal_of(consumer).path, RUN, Tier.AUTHORITY)
    assert double.call_args.kwargs == {"keys": None}


def test_verify_demands_signatures_of_the_keys_that_are_trusted(consumer, context, stage, monkeypatch, tmp_path):
    double = stage(twins, "verify", {"verified": 1})
    context["params"]["tier"] = "public"
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    write_json(tmp_path / "jwks.json", {"keys": [key]})
    monkeypatch.setenv("BATTERY_PILOT_TRUSTED_KEYS", str(tmp_path / "jwks.json"))
    VerifyPassportsOperator(task_id="verify").execute(context)
    assert list(double.call_args.kwargs["keys"]) == ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]


def test_expiry_gets_its_servers(consumer, context, server, broker, stage):
    double = stage(expiry, "remove_expired", {"removed": 1})
    task = RemoveExpiredOperator(task_id="expire", aas_conn_id="aas", orion_conn_id="orion")
    assert task.execute(context) == {"removed": 1}
    lake, _, now, *servers = double.call_args.args
    assert (lake, servers) == (consumer, [server, broker])
    assert abs(now - datetime.now(UTC)).total_seconds() < 60


def test_update_and_sync_get_their_servers(consumer, context, server, broker, stage):
    update = stage(twins, "update_twins", {"updated": 1, "unchanged": 0, "kept_newer": 0})
    UpdateTwinsOperator(task_id="update", aas_conn_id="aas").execute(context)
    assert update.call_args.args[2:] == (RUN, server)
    sync = stage(twins, "sync_entities", {"entities": 1})
    SyncContextBrokerOperator(task_id="sync", orion_conn_id="orion").execute(context)
    assert sync.call_args.args[2:] == (RUN, broker)
    assert sync.call_args.kwargs == {"tier": Tier.AUTHORITY, "named_by_path": False}


def test_field_values_and_subscription_get_their_servers(consumer, context, server, broker):
    broker.entities.return_value = iter([])
    server.address = "http://aas"
    task = ApplyFieldValuesOperator(task_id="field_values", aas_conn_id="aas", orion_conn_id="orion")
    assert task.execute(context) == {"applied": 0, "refused": 0, "twins": 0}
    broker.subscribe.return_value = "5f"
    subscribe = SubscribeContextBrokerOperator(
        task_id="t", orion_conn_id="orion", notify_url="http://me/notify", attributes=["stateOfCharge"]
    )
    assert subscribe.execute(context) == {"subscription": "5f"}
    assert broker.subscribe.call_args.kwargs["attributes"] == ["stateOfCharge"]


def test_write_back_reads_what_the_scoring_job_wrote_beside_its_table(consumer, context, server, broker):
    predictions = consumer.root / "predictions" / "predictions.jsonl"
    write_lines(predictions, [])
    write_lines(twins.verified_file(consumer, RUN), [])
    task = WriteBackPredictionsOperator(task_id="write_back", aas_conn_id="aas", orion_conn_id="orion")
    assert task.execute(context) == {"predictions": 0}


def test_collect_writes_the_table_of_the_provider(provider, context, stage):
    double = stage(health_history, "write_conditions", 7)
    assert CollectHistoryOperator(task_id="collect").execute(context) == {"states": 7}
    double.assert_called_once_with(provider)


@pytest.mark.parametrize(
    "task",
    [
        DiscoverFilesOperator(task_id="t", landing="{{ params.landing }}"),
        BuildPassportsOperator(task_id="t", reject_threshold_percent="{{ params.reject_threshold_percent }}"),
    ],
    ids=lambda task: task.task_type,
)
def test_templated_arguments_are_rendered_from_the_parameters(task):
    params = {"landing": "/data/landing", "reject_threshold_percent": 12.5}
    task.render_template_fields({"params": params, "task": task, "ti": SimpleNamespace(task=task)})
    field = {"DiscoverFilesOperator": "landing"}.get(task.task_type, "reject_threshold_percent")
    assert str(getattr(task, field)) in ("/data/landing", "12.5")
