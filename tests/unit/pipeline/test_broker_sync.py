"""Sync against a small Orion over HTTP that fails when it is told to."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from battery_pilot.errors import ServerError, ServerUnavailable
from battery_pilot.pipeline.broker_sync import CHUNK, sync
from battery_pilot.pipeline.sent_entities import SentEntities
from battery_pilot.services.ngsi import attribute, attributes_of, entity_id
from battery_pilot.services.orion import Orion

START = datetime(2026, 1, 1, tzinfo=UTC)


class SmallOrion:
    """Entities in a dictionary; ``faults`` says what the next writes do instead of answering 204.

    ``drop`` carries a write out and hangs up, ``busy`` answers 503, ``hidden`` leaves the first entity out and answers
    404 as Orion 3.10 does, ``partial`` the same with 422 as 4.x does, ``slow`` answers late.
    """

    def __init__(self):
        self.entities = {}
        self.faults = []
        self.writes = 0
        self.lock = threading.Lock()

    def answer(self, method, path, body):
        address = urlsplit(path)
        with self.lock:
            if address.path == "/v2/op/query":
                ids = [one["id"] for one in body["entities"]]
                return 200, [self.entities[one] for one in ids if one in self.entities], {}
            if method == "GET":
                wanted = parse_qs(address.query)["type"][0]
                total = sum(one["type"] == wanted for one in self.entities.values())
                return 200, [], {"Fiware-Total-Count": str(total)}
            return self.write(body)

    def write(self, body):
        self.writes += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "busy":
            return 503, {}, {}
        left_out = fault in ("hidden", "partial")
        for one in body["entities"][left_out:]:
            self.carry_out(body["actionType"], one)
        if fault == "slow":
            time.sleep(0.05)
        if fault == "drop":
            return 0, {}, {}
        if left_out:
            return {"hidden": 404, "partial": 422}[fault], {"error": "PartialUpdate", "description": "one"}, {}
        return 204, b"", {}

    def carry_out(self, action, one):
        attributes = attributes_of(one)
        held = self.entities.get(one["id"], {"id": one["id"], "type": one["type"]})
        if action == "delete":
            self.entities[one["id"]] = {name: part for name, part in held.items() if name not in attributes}
            return
        now = {"type": "DateTime", "value": datetime.now(UTC).isoformat(timespec="milliseconds")}
        changed = {
            name: {**part, "metadata": {**part.get("metadata", {}), "dateModified": now}}
            for name, part in attributes.items()
        }
        self.entities[one["id"]] = {**held, **changed}


@contextmanager
def serving(double):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content, headers = double.answer(self.command, self.path, json.loads(body) if body else None)
            if status == 0:
                self.close_connection = True
                self.connection.close()
                return
            data = b"" if status == 204 else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = handle_any

        def log_message(self, *_):
            """Keep the test output clean."""

        def handle_one_request(self):
            try:
                super().handle_one_request()
            except (ConnectionError, ValueError):
                self.close_connection = True

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@pytest.fixture
def double():
    return SmallOrion()


@pytest.fixture
def broker(double):
    with serving(double) as url:
        yield Orion(url, wait_second=0, attempts=2, batch_count=50)


@pytest.fixture
def sent(tmp_path):
    return SentEntities(tmp_path / "sent.sqlite", "here", "passport")


def battery(number, day=0, **values):
    as_of = START + timedelta(days=day)
    timed = {name: attribute(value, as_of=as_of) for name, value in values.items()}
    return {"id": entity_id(f"B{number}"), "type": "Battery", "dateObserved": attribute(as_of), **timed}


def values(double, number):
    return {name: one["value"] for name, one in attributes_of(double.entities[entity_id(f"B{number}")]).items()}


def test_everything_is_written_once_and_nothing_the_second_time(broker, double, sent):
    fleet = [battery(number, soh=90.0 + number / 100) for number in range(120)]
    assert sync(broker, iter(fleet), sent).written == 120
    writes = double.writes
    again = sync(broker, fleet, sent)
    assert (again.entities, again.written) == (120, 0)
    assert double.writes == writes == 3


def test_only_what_changed_is_sent(broker, double, sent):
    sync(broker, [battery(number, soh=90.0, cycles=7) for number in range(3)], sent)
    counts = sync(broker, [battery(0, soh=90.0, cycles=7), battery(1, 1, soh=89.0, cycles=8), battery(2)], sent)
    assert counts.written == 1
    assert values(double, 1)["soh"] == 89.0
    assert values(double, 0)["soh"] == 90.0


def test_an_older_value_never_replaces_a_newer_one(broker, double, sent):
    sync(broker, [battery(1, 5, soh=88.0)], sent)
    counts = sync(broker, [battery(1, 2, soh=91.0, cycles=3)], sent)
    assert counts.kept_newer == 2
    assert values(double, 1) == {"dateObserved": "2026-01-06T00:00:00.000Z", "soh": 88.0, "cycles": 3}
    assert sync(broker, [battery(1, 6, soh=87.0)], sent).written == 1
    assert values(double, 1)["soh"] == 87.0


def test_each_attribute_has_a_time_of_its_own(broker, double, sent):
    sync(broker, [battery(1, 5, soh=88.0)], sent)
    mixed = {**battery(1, 6, charge=50.0), "soh": attribute(91.0, as_of=START)}
    sync(broker, [mixed], sent)
    assert values(double, 1)["soh"] == 88.0
    assert values(double, 1)["charge"] == 50.0


def test_a_value_that_an_application_set_stays_until_the_passport_has_a_later_one(broker, double, sent):
    sync(broker, [battery(1, 1, soh=90.0)], sent)
    held = double.entities[entity_id("B1")]
    now = {"type": "DateTime", "value": "2026-02-01T00:00:00.000Z"}
    held["soh"] = {**held["soh"], "value": 70.0, "metadata": {**held["soh"]["metadata"], "dateModified": now}}
    assert sync(broker, [battery(1, 9, soh=89.0)], sent).kept_newer == 1
    assert values(double, 1)["soh"] == 70.0
    assert sync(broker, [battery(1, 40, soh=88.0)], sent).written == 1
    assert values(double, 1)["soh"] == 88.0


def test_a_value_that_is_gone_is_deleted_and_what_others_added_stays(broker, double, sent):
    sync(broker, [battery(1, soh=90.0, cycles=7)], sent)
    double.entities[entity_id("B1")]["theirs"] = attribute("kept")
    sync(broker, [battery(1, 1, soh=89.0)], sent)
    assert values(double, 1).keys() == {"dateObserved", "soh", "theirs"}


def test_a_backfill_of_an_older_state_does_not_make_us_forget_which_attributes_are_ours(broker, double, sent):
    sync(broker, [battery(1, 1, soh=90.0, charge=50.0)], sent)
    sync(broker, [battery(1, -1, soh=99.0)], sent)
    assert values(double, 1)["charge"] == 50.0
    sync(broker, [battery(1, 2, soh=89.0)], sent)
    assert values(double, 1).keys() == {"dateObserved", "soh"}


def test_entities_that_the_broker_lost_are_written_again(broker, double, sent):
    fleet = [battery(number, soh=90.0) for number in range(4)]
    sync(broker, fleet, sent)
    del double.entities[entity_id("B2")]
    assert sync(broker, fleet, sent).written == 1
    assert values(double, 2)["soh"] == 90.0


def test_another_broker_is_sent_everything(broker, double, sent, tmp_path):
    sync(broker, [battery(1, soh=90.0)], sent)
    double.entities.clear()
    elsewhere = SentEntities(tmp_path / "sent.sqlite", "elsewhere", "passport")
    assert sync(broker, [battery(1, soh=90.0)], elsewhere).written == 1


def test_of_an_entity_that_comes_twice_the_later_counts(broker, double, sent):
    sync(broker, [battery(1, 3, soh=80.0), battery(1, 1, soh=90.0)], sent)
    assert values(double, 1)["soh"] == 80.0


@pytest.mark.parametrize("fault", ["drop", "hidden", "partial", "slow"])
def test_one_of_fifty_batches_with_a_fault_loses_nothing(broker, double, sent, fault):
    fleet = [battery(number, soh=90.0) for number in range(2500)]
    double.faults = [None] * 24 + [fault]
    counts = sync(broker, fleet, sent)
    assert not counts.refused
    assert len(double.entities) == 2500
    assert all("soh" in one for one in double.entities.values())
    writes = double.writes
    assert sync(broker, fleet, sent).written == 0
    assert double.writes == writes


def test_a_run_that_broke_off_is_completed_by_the_next(broker, double, sent):
    fleet = [battery(number, soh=90.0) for number in range(2 * CHUNK)]
    double.faults = [None] * 14 + ["busy", "busy"]
    with pytest.raises(ServerUnavailable):
        sync(broker, fleet, sent)
    assert len(double.entities) == 700
    counts = sync(broker, fleet, sent)
    assert counts.written == 300
    assert len(double.entities) == 2 * CHUNK


def test_a_server_that_tells_no_count_is_written_to_all_the_same(sent):
    class Sink(SmallOrion):
        def answer(self, method, path, body):
            self.writes += method == "POST" and path.startswith("/v2/op/update")
            return 204, b"", {}

    sink = Sink()
    with serving(sink) as url:
        broker = Orion(url)
        fleet = [battery(number, soh=90.0) for number in range(10)]
        assert sync(broker, fleet, sent).written == 10
        assert sync(broker, fleet, sent).written == 0
    assert sink.writes == 1


NUMBERS = st.integers(0, 4)
NAMES = st.sampled_from(["soh", "charge", "cycles"])


class FleetMachine(RuleBasedStateMachine):
    """Whatever happens in between: a sync that ends shows the latest state of every battery."""

    def __init__(self):
        super().__init__()
        self.double = SmallOrion()
        self.context = serving(self.double)
        self.broker = Orion(self.context.__enter__(), wait_second=0, attempts=2, batch_count=2)
        self.sent = SentEntities(self.folder / f"{id(self)}.sqlite", "here", "passport")
        self.model = {}
        self.day = 0
        self.is_synced = True

    def teardown(self):
        self.context.__exit__(None, None, None)

    @rule(number=NUMBERS, changed=st.dictionaries(NAMES, st.floats(0, 100, width=16), max_size=3))
    def create_or_update(self, number, changed):
        self.day += 1
        self.model[number] = battery(number, self.day, **changed)
        self.is_synced = False

    @rule(number=NUMBERS)
    def server_loses(self, number):
        self.double.entities.pop(entity_id(f"B{number}"), None)
        self.is_synced = False

    @rule(number=NUMBERS, name=NAMES)
    def backfill(self, number, name):
        if number in self.model:
            sync(self.broker, [battery(number, -1, **{name: -1.0})], self.sent)
            self.is_synced = False

    @rule(faults=st.lists(st.sampled_from(["drop", "busy", "hidden", "partial", None]), max_size=6))
    def sync_with_faults(self, faults):
        self.double.faults = faults
        try:
            self.is_synced = not sync(self.broker, self.model.values(), self.sent).refused
        except ServerError:
            self.is_synced = False
        finally:
            self.double.faults = []

    @rule()
    def sync_all(self):
        sync(self.broker, self.model.values(), self.sent)
        self.is_synced = True

    @rule()
    def nothing_changed(self):
        if self.is_synced:
            writes = self.double.writes
            sync(self.broker, self.model.values(), self.sent)
            assert self.double.writes == writes

    @invariant()
    def broker_shows_the_model(self):
        if self.is_synced:
            for number, entity in self.model.items():
                held = self.double.entities[entity["id"]]
                shown = {name: one["value"] for name, one in attributes_of(held).items() if name != "dateObserved"}
                wanted = {name: one["value"] for name, one in attributes_of(entity).items() if name != "dateObserved"}
                assert {name: shown[name] for name in wanted} == wanted, number
                assert all(value == -1.0 for name, value in shown.items() if name not in wanted)


def test_any_sequence_of_changes_losses_and_faults_ends_in_the_latest_state(tmp_path):
    FleetMachine.folder = tmp_path
    few = settings(max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(FleetMachine, settings=few)
