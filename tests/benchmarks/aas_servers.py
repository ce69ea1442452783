"""Workload of the AAS servers: a fleet pushed to a real FA³ST Service, once and again, beside a plain loop of ``requests``.

:mod:`tests.benchmarks.run` puts the figures into a table; the server is the one of the tests, empty for each measurement.
The loop is what a first client is: one session, one battery after the other, its shell and all its submodels by PUT, and by
POST where the server says 404; only the concept descriptions, 53 for each battery, go once, or the loop would take an hour.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.model import BatteryItem, BatteryModel
from battery_pilot.pipeline.shown import twin_of
from battery_pilot.services.aas_connection import encode_id
from battery_pilot.services.aas_push import push_twins
from battery_pilot.services.aas_pushed import PushedStates
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.aas_twin import Content, Twin
from battery_pilot.services.answers import Answer
from tests.servers import faaast
from tests.servers.run import start_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATTERIES = 1000
MODELS = 5
ITEM_SUBMODELS = 2
CHANGED_PERCENT = 1
BAR_TIMES, BAR_PERCENT = 3.0, 3.0
SMALL, LARGE = 1_000, 100_000
COLLECTIONS = {
    "AssetAdministrationShell": "/shells",
    "Submodel": "/submodels",
    "ConceptDescription": "/concept-descriptions",
}


def fleet(count: int, *, changed: int = 0) -> list[Twin]:
    """Return the first state of a fleet.

    :param count: how many batteries.
    :param changed: so many of them, spread over the fleet, have a new value of each measured quantity.
    """
    step = count // changed if changed else count + 1
    return [_twin(number, 0.98 if changed and number % step == 0 else 1.0) for number in range(count)]


def _twin(number: int, factor: float) -> Twin:
    """Return one battery, with as many submodels of its own as the bar names."""
    model = BatteryModel(
        model_id=f"M{number % MODELS}", manufacturer_name="Beispiel GmbH", manufacturer_id="EX", category="ev",
        mass_kilogram=230, nominal_voltage_volt=360, minimum_voltage_volt=270, maximum_voltage_volt=410,
        rated_capacity_ah=60,
    )  # fmt: skip
    item = BatteryItem(
        battery_id=f"PACK-{number}", model_id=model.model_id, serial_number=f"S-{number}", manufactured_on="2024-02-29", facility_id="p", street="s",
        zip_code="1", city="c", country_code="DE",
    )  # fmt: skip
    day = datetime(2026, 6, 1, tzinfo=UTC)
    values = {
        metric: MeasuredValue(value=90.0 * factor, as_of=day, method="m", source_sha256=(f"{place:064x}",))
        for place, metric in enumerate(METRICS)
    }
    condition = Condition(battery_id=item.battery_id, as_of=day, values=values)
    passport = build_passport(model, item, condition, base="https://example.com/dbp")
    whole = twin_of(passport, day)
    own = sorted(whole.content.submodels, key=lambda one: one["idShort"] != "ProductCondition")[:ITEM_SUBMODELS]
    kept = Content(whole.content.shell, own, whole.content.shared_submodels, whole.content.concept_descriptions)
    return replace(whole, make=lambda: kept)


def plain_loop(url: str, twins: Sequence[Twin]) -> float:
    """Put the shell and the submodels of every battery, one after the other, and return the seconds."""
    start = time.perf_counter()
    concepts = {one["id"]: one for twin in twins for one in twin.content.concept_descriptions}
    with requests.Session() as session:
        session.trust_env = False
        for documents in (
            concepts.values(),
            *((*twin.content.shared_submodels, *twin.content.own()) for twin in twins),
        ):
            for document in documents:
                collection = f"{url}{COLLECTIONS[document['modelType']]}"
                answer = session.put(f"{collection}/{encode_id(document['id'])}", json=document)
                if answer.status_code == requests.codes.not_found:
                    answer = session.post(collection, json=document)
                answer.raise_for_status()
    return time.perf_counter() - start


def pushed(url: str, states: PushedStates, twins: Sequence[Twin]) -> float:
    """Push a fleet and return the seconds."""
    start = time.perf_counter()
    push_twins(AasServer(url), states, twins)
    return time.perf_counter() - start


@contextmanager
def _server() -> Iterator[str]:
    """Run an empty server."""
    with ExitStack() as stack:
        found = start_all([faaast.SERVER], stack, {})
        if not found:
            raise SystemExit("aas_servers: FA³ST cannot be had here")
        yield f"{found['BATTERY_PILOT_TEST_AAS_URL']}/api/v3.0"


def measure(rounds: int, count: int = BATTERIES) -> Iterator[tuple[float, float, float]]:
    """Yield the seconds of the loop, of the first push and of the push after a few have changed, for each round."""
    before, after = fleet(count), fleet(count, changed=count * CHANGED_PERCENT // 100)
    for _ in range(rounds):
        with _server() as url:
            loop = plain_loop(url, before)
        with _server() as url, tempfile.TemporaryDirectory() as folder:
            states = PushedStates(Path(folder) / "pushed.sqlite")
            yield loop, pushed(url, states, before), pushed(url, states, after)
            states.close()


class _TakesAll:
    """Stands where a client has its connection: takes everything and keeps nothing, so that memory is the client's."""

    address = "http://aas.example"

    def request(self, method: str, path: str, **_: object) -> Answer:
        return Answer(method, path, requests.codes.created, {}, b"")


def push_to_nowhere(count: int) -> None:
    """Push a fleet that is made while it is sent: short documents, because only their number matters."""

    def twin(number: int) -> Twin:
        value = {"modelType": "Property", "idShort": "V", "valueType": "xs:int", "value": str(number)}
        own = {"modelType": "Submodel", "id": f"urn:{number}/sm", "idShort": "Own", "submodelElements": [value]}
        shell = {"modelType": "AssetAdministrationShell", "id": f"urn:{number}"}
        return Twin(f"urn:{number}", "2026-06-01", "", str(number), lambda: Content(shell, [own]))

    server = AasServer(_TakesAll.address, base_path="")
    server._api = _TakesAll()  # noqa: SLF001 - as the tests' own servers do
    with tempfile.TemporaryDirectory() as folder:
        states = PushedStates(Path(folder) / "pushed.sqlite")
        push_twins(server, states, map(twin, range(count)), read_back=0)
        states.close()


def peak_megabytes(count: int) -> float:
    """Push a fleet in a process of its own and return the peak of its memory."""
    command = [sys.executable, "-m", "tests.benchmarks.aas_servers", str(count)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def lines(rounds: int) -> list[str]:
    """Measure and return lines of Markdown."""
    found = list(measure(rounds))
    loop, first, again = (statistics.median(one[place] for one in found) for place in range(3))
    times = statistics.median(one[0] / one[1] for one in found)
    percent = statistics.median(100 * one[2] / one[1] for one in found)
    memory = [peak_megabytes(count) for count in (SMALL, LARGE)]
    return [
        f"First push of {BATTERIES:,} batteries with {ITEM_SUBMODELS} submodels each and {MODELS} models to FA³ST: "
        f"{first:.1f} s; a loop of `requests` that puts everything: {loop:.1f} s; {times:.1f} times as fast (wanted "
        f"{BAR_TIMES:g}).",
        f"Push after {CHANGED_PERCENT} % of them have changed: {again:.2f} s, {percent:.1f} % of the first one (wanted at "
        f"most {BAR_PERCENT:g} %).",
        f"Peak memory of a push: {memory[0]:.0f} MB for {SMALL:,} batteries, {memory[1]:.0f} MB for {LARGE:,}.",
    ]


def main() -> None:
    """Push a fleet of so many batteries to nowhere and print the peak memory (MB) of this process."""
    push_to_nowhere(int(sys.argv[1]))
    # The peak that getrusage tells is at least that of the process which started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1024)


if __name__ == "__main__":
    main()
