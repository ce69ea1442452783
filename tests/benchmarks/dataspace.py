"""Measure the way through a data space against two real Eclipse Dataspace Connectors on this machine.

``python -m tests.benchmarks.dataspace`` prints them alone. The wall clock counts here, because most of the time goes by
in the connectors; each figure is the median of several rounds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from battery_pilot.services.connectors.edc_documents import CONTEXT, contract_request
from battery_pilot.services.connectors.model import Counterparty, Offer
from battery_pilot.services.connectors.policies import Demands, constraints_of
from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import start, stop
from tests.servers import edc
from tests.servers.server import Unavailable, prepared, quiet_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 5
POLL_SECONDS = 0.1
OFFERS = 200
PASSPORTS = 1000
PASSPORT_BYTES = 60_000
TIER = Tier.LEGITIMATE_INTEREST
PROTOCOL = "dataspace-protocol-http:2025-1"


@contextmanager
def _space(folder: Path) -> Iterator[tuple[EdcConnector, EdcConnector, Counterparty, str]]:
    """Run both connectors and a web server for the provider's files in ``folder/outbox``."""
    (folder / "outbox").mkdir()
    (folder / "state").mkdir()
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", HOST, "--directory", str(folder / "outbox")]
    files = start(command, environment=quiet_environment(), log_file=folder / "files.log", folder=folder)
    try:
        with edc.running(prepared(edc.SERVER), folder / "state") as found:
            provider, consumer, protocol, key = (found[name] for name in edc.VARIABLES)
            yield (
                EdcConnector(f"{provider}/management", api_key=key, participant_id="provider"),
                EdcConnector(f"{consumer}/management", api_key=key, participant_id="consumer"),
                Counterparty("provider", protocol),
                f"http://{HOST}:{port}",
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
    negotiation = call("POST", "/v3/contractnegotiations", contract_request(entry, PROTOCOL))["@id"]
    while (found := call("GET", f"/v3/contractnegotiations/{negotiation}"))["state"] != "FINALIZED":
        time.sleep(POLL_SECONDS)
    body = {
        "@context": CONTEXT,
        "@type": "TransferRequest",
        "counterPartyAddress": counterparty.protocol_url,
        "protocol": PROTOCOL,
        "contractId": found["contractAgreementId"],
        "transferType": "HttpData-PULL",
    }
    transfer = call("POST", "/v3/transferprocesses", body)["@id"]
    while call("GET", f"/v3/transferprocesses/{transfer}")["state"] != "STARTED":
        time.sleep(POLL_SECONDS)
    address = call("GET", f"/v3/edrs/{transfer}/dataaddress")
    request = urllib.request.Request(address["endpoint"], headers={"Authorization": address["authorization"]})
    with urllib.request.urlopen(request) as answer:
        answer.read()


def _seconds(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def _fleet(folder: Path) -> None:
    tier = folder / "outbox" / TIER
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


def rows() -> list[tuple[str, str, str]]:
    """Measure everything: what, figure, bar."""
    with tempfile.TemporaryDirectory(prefix="dataspace-") as name:
        folder = Path(name)
        with _space(folder) as (provider, consumer, counterparty, url):
            (folder / "outbox" / "one.json").write_bytes(b"{}")
            offers = [_offer(f"offer-{number}", f"{url}/one.json") for number in range(OFFERS)]
            with ThreadPoolExecutor(4) as pool:
                first = _seconds(lambda: list(pool.map(provider.publish, offers)))
                again = _seconds(lambda: list(pool.map(provider.publish, offers)))
            ratios = []
            for number in range(ROUNDS):
                ours = _seconds(lambda number=number: _ours(consumer, counterparty, f"offer-{2 * number}"))
                bare = _seconds(lambda number=number: _bare(consumer, counterparty, f"offer-{2 * number + 1}"))
                ratios.append(ours / bare)
            for offer in offers:
                provider.withdraw(offer.asset_id)
            _fleet(folder)
            fleet = _offer(f"passports:{TIER}", f"{url}/{TIER}", granularity="fleet")
            provider.publish(Offer(**{**vars(fleet), "is_folder": True}))
            pulls = [_pulled(folder, number, consumer, counterparty) for number in range(3)]
    return [
        ("negotiation to first byte, beside a bare script", f"{statistics.median(ratios):.2f} times", "1.3 times"),
        (f"{OFFERS} offers published", f"{OFFERS / first:.0f} a second", "40 a second"),
        (f"{OFFERS} offers published again", f"{OFFERS / again:.0f} a second", "40 a second"),
        (
            f"{PASSPORTS} passports of {PASSPORT_BYTES // 1000} kB over one agreement",
            f"{PASSPORTS / statistics.median(pulls):.0f} a second",
            "150 a second",
        ),
    ]


def lines() -> list[str]:
    """Return what was measured as sentences, or why nothing could be."""
    try:
        measured = rows()
    except Unavailable as error:
        return [f"Data space: not measured, {error}"]
    return [f"Data space (two local EDCs): {work}: {figure} (bar {bar})" for work, figure, bar in measured]


def main() -> None:
    """Print the figures."""
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print("\n".join(lines()))


if __name__ == "__main__":
    main()
