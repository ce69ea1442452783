"""Measure the way through a data space against two real Eclipse Dataspace Connectors on this machine.

``python -m tests.benchmarks.run --only dataspace`` prints them. The wall clock counts here, because most of the time goes by
in the connectors; each figure is the median of several rounds. The provider's files are served by the data app.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.lake import Lake
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.acquire import (
    journal_of,
    pull,
    request_contracts,
    settle_negotiations,
    settle_transfers,
    start_transfers,
)
from battery_pilot.pipeline.fleets import Member, update_index
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.edc_documents import contract_request
from battery_pilot.services.connectors.edc_profiles import CONTEXT
from battery_pilot.services.connectors.model import Counterparty, Offer
from battery_pilot.services.connectors.policies import Demands, constraints_of
from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import start, stop
from tests.benchmarks.archive_pull import peak_mb
from tests.servers import edc
from tests.servers.server import Unavailable, prepared, quiet_environment, wait_until_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 9
PULLS = 3
POLL_SECONDS = 0.1
OFFERS = 200
PASSPORTS = 1000
PASSPORT_BYTES = 60_000
TIER = Tier.LEGITIMATE_INTEREST
KEY = "key-of-the-provider's-connector"
OUTBOX = Path("provider", "outbox")
MEMBER_BYTES = 2**20
ARCHIVES = {"100 MB": 100, "1 GB": 1024}
"""Members of the archives; most are other names of one file, so that the disk holds it once."""

PROTOCOL = "dataspace-protocol-http:2025-1"


@dataclass(frozen=True)
class Space:
    """Both connectors and what is around them.

    :param url: of the data app.
    :param login: address and key of the consumer's management API.
    :param data_app: process id.
    """

    provider: EdcConnector
    consumer: EdcConnector
    counterparty: Counterparty
    url: str
    login: tuple[str, str]
    data_app: int


@contextmanager
def _space(folder: Path) -> Iterator[Space]:
    """Run both connectors and the data app for the outbox of ``folder``."""
    (folder / OUTBOX / TIER).mkdir(parents=True)
    (folder / "state").mkdir()
    (folder / "keys.json").write_text(json.dumps({"edc": {"key": KEY, "tier": TIER}}))
    (port,) = free_ports(1)
    app = ["battery_pilot.services.data_app:from_environment", "--factory", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", *app, "--host", HOST, "--port", str(port)]
    settings = {"BATTERY_PILOT_LAKE": str(folder), "BATTERY_PILOT_DATA_APP_KEYS": str(folder / "keys.json")}
    environment = {**quiet_environment(), **settings}
    files = start(command, environment=environment, log_file=folder / "files.log", folder=folder)
    try:
        wait_until_up("the data app", f"http://{HOST}:{port}/health", files, folder / "files.log")
        with edc.running(prepared(edc.SERVER), folder / "state") as found:
            provider, consumer, protocol, key = (found[name] for name in edc.VARIABLES)
            keys = {TIER: KEY}
            yield Space(
                EdcConnector(f"{provider}/management", api_key=key, participant_id="provider", data_keys=keys),
                EdcConnector(f"{consumer}/management", api_key=key, participant_id="consumer"),
                Counterparty("provider", protocol),
                f"http://{HOST}:{port}",
                (f"{consumer}/management", key),
                files,
            )
    finally:
        stop(files)


def _offer(name: str, url: str, **more: Any) -> Offer:
    policy = constraints_of(TIER, Demands(valid_days=365))
    return Offer(name, name, url, "application/json", TIER, {"tier": TIER.value, **more}, policy)


def _ours(consumer: EdcConnector, counterparty: Counterparty, name: str) -> None:
    (entry,) = consumer.catalogue(counterparty, filter={"name": name})
    negotiation = consumer.negotiate(entry)
    while not (found := consumer.negotiation(negotiation)).state.is_final:
        time.sleep(POLL_SECONDS)
    transfer = consumer.transfer(str(found.agreement_id), counterparty)
    while not consumer.transfer_state(transfer).state.is_ready:
        time.sleep(POLL_SECONDS)
    consumer.fetch(transfer, maximum_bytes=PASSPORT_BYTES)


def _bare(consumer: EdcConnector, counterparty: Counterparty, name: str) -> None:
    """Do the same calls with nothing but urllib."""
    http = consumer._management.http

    def call(method: str, path: str, body: Any = None) -> Any:
        headers = {**http._headers, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(http.base_url + path, data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    # What is sent is prepared outside: the script would carry it as text.
    (entry,) = consumer.catalogue(counterparty, filter={"name": name})
    negotiation = call("POST", "/contractnegotiations", contract_request(entry, PROTOCOL))["@id"]
    while (found := call("GET", f"/contractnegotiations/{negotiation}"))["state"] != "FINALIZED":
        time.sleep(POLL_SECONDS)
    body = {
        "@context": CONTEXT,
        "@type": "TransferRequest",
        "counterPartyAddress": counterparty.protocol_url,
        "protocol": PROTOCOL,
        "contractId": found["contractAgreementId"],
        "transferType": "HttpData-PULL",
    }
    transfer = call("POST", "/transferprocesses", body)["@id"]
    while call("GET", f"/transferprocesses/{transfer}")["state"] != "STARTED":
        time.sleep(POLL_SECONDS)
    address = call("GET", f"/edrs/{transfer}/dataaddress")
    request = urllib.request.Request(address["endpoint"], headers={"Authorization": address["authorization"]})
    with urllib.request.urlopen(request) as answer:
        answer.read()


def _seconds(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def _fleet(folder: Path) -> None:
    tier = folder / OUTBOX / TIER
    members: dict[str, Member | None] = {}
    for number in range(PASSPORTS):
        name = f"BP-{number}"
        data = json.dumps({"battery": name, "content": "x" * PASSPORT_BYTES}).encode()
        path = f"{hashlib.sha256(name.encode()).hexdigest()[:2]}/{name}.json"
        (tier / path).parent.mkdir(parents=True, exist_ok=True)
        (tier / path).write_bytes(data)
        members[path] = Member(name, path, hashlib.sha256(data).hexdigest())
    update_index(tier, members)


def _pulled(folder: Path, round_: int, consumer: EdcConnector, counterparty: Counterparty) -> float:
    """Pull the fleet into a fresh lake and return the seconds of the pull, without the negotiation."""
    lake = Lake(folder / f"lake-{round_}")
    party = ConnectorParty(consumer, None, counterparty.participant_id, counterparty.protocol_url)
    journal = journal_of(lake)
    request_contracts(journal, party, "run", TIER)
    for settle in (settle_negotiations, start_transfers, settle_transfers):
        settle(journal, party, "run")
        while settle is not start_transfers and settle(journal, party, "run"):
            time.sleep(POLL_SECONDS)
    seconds = _seconds(lambda: pull(lake, journal, party, "run"))
    shutil.rmtree(lake.root)
    return seconds


def _agreed(space: Space, name: str) -> str:
    (entry,) = space.consumer.catalogue(space.counterparty, filter={"name": name})
    negotiation = space.consumer.negotiate(entry)
    while not (found := space.consumer.negotiation(negotiation)).state.is_final:
        time.sleep(POLL_SECONDS)
    return str(found.agreement_id)


def _archives(folder: Path, space: Space) -> list[tuple[str, str, str]]:
    """Pull archives of two sizes; what memory the larger one takes more is what an archive takes at all."""
    tier = folder / OUTBOX / TIER
    shutil.rmtree(tier)
    (tier / "ab").mkdir(parents=True)
    first = tier / "ab" / "BP-0.json"
    first.write_bytes(b"x" * MEMBER_BYTES)
    offer = _offer("archive", f"{space.url}/passports?batch=all")
    space.provider.publish(offer)
    agreement = _agreed(space, "archive")
    answers, peaks = [], []
    for count in ARCHIVES.values():
        for number in range(len(list((tier / "ab").iterdir())), count):
            (tier / "ab" / f"BP-{number}.json").hardlink_to(first)
        transfer = space.consumer.transfer(agreement, space.counterparty)
        while not space.consumer.transfer_state(transfer).state.is_ready:
            time.sleep(POLL_SECONDS)
        command = [sys.executable, "-m", "tests.benchmarks.archive_pull", *space.login, transfer]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet_environment())
        answers.append(json.loads(answer.stdout))
        peaks.append(peak_mb(space.data_app))
    small, large = answers
    return [
        (
            f"archive of {large['bytes'] / 2**20:.0f} MB instead of {small['bytes'] / 2**20:.0f} MB, streamed",
            f"{large['peak_mb'] - small['peak_mb']:+.1f} MB in the consumer ({large['peak_mb']:.0f}), "
            f"{peaks[1] - peaks[0]:+.1f} MB in the data app ({peaks[1]:.0f}); "
            f"{large['bytes'] / 2**20 / large['seconds']:.0f} MB/s",
            "constant memory",
        )
    ]


def rows() -> list[tuple[str, str, str]]:
    """Measure everything: what, figure, bar."""
    with tempfile.TemporaryDirectory(prefix="dataspace-") as name:
        folder = Path(name)
        with _space(folder) as space:
            provider, consumer, counterparty = space.provider, space.consumer, space.counterparty
            (folder / OUTBOX / TIER / "one.json").write_bytes(b"{}")
            offers = [_offer(f"offer-{number}", f"{space.url}/files/{TIER}/one.json") for number in range(OFFERS)]
            with ThreadPoolExecutor(4) as pool:
                first = _seconds(lambda: list(pool.map(provider.publish, offers)))
                again = _seconds(lambda: list(pool.map(provider.publish, offers)))
            ours, bare = [], []
            for number in range(ROUNDS):
                ours.append(_seconds(lambda number=number: _ours(consumer, counterparty, f"offer-{2 * number}")))
                bare.append(_seconds(lambda number=number: _bare(consumer, counterparty, f"offer-{2 * number + 1}")))
            for offer in offers:
                provider.withdraw(offer.asset_id)
            _fleet(folder)
            fleet = _offer(f"passports:{TIER}", f"{space.url}/files/{TIER}", granularity="fleet")
            provider.publish(Offer(**{**vars(fleet), "is_folder": True}))
            pulls = [_pulled(folder, number, consumer, counterparty) for number in range(PULLS)]
            archives = _archives(folder, space)
    return [
        (
            "negotiation to first byte, beside a bare script",
            f"{statistics.median(ours) / statistics.median(bare):.2f} times",
            "1.3 times",
        ),
        (f"{OFFERS} offers published", f"{OFFERS / first:.0f} a second", "40 a second"),
        (f"{OFFERS} offers published again", f"{OFFERS / again:.0f} a second", "40 a second"),
        (
            f"{PASSPORTS} passports of {PASSPORT_BYTES // 1000} kB over one agreement",
            f"{PASSPORTS / statistics.median(pulls):.0f} a second",
            "150 a second",
        ),
        *archives,
    ]


def lines() -> list[str]:
    """Return what was measured as sentences, or why nothing could be."""
    try:
        measured = rows()
    except Unavailable as error:
        return [f"Data space: not measured, {error}"]
    return [f"Data space (two local EDCs): {work}: {figure} (bar {bar})" for work, figure, bar in measured]
