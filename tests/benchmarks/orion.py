"""Workload of the context broker: a fleet offered to a sink that answers 204 to everything, and memory over the fleet's size.

:mod:`tests.benchmarks.run` puts the figures into a table. The sink is a process of its own; against a real Orion the speed is
Orion's. Rates are given by the wall clock and by the sender's own processor time, because a busy machine slows the first.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from battery_pilot.pipeline.broker_sync import sync
from battery_pilot.pipeline.sent_entities import SentEntities
from battery_pilot.services.ngsi import attribute, entity_id
from battery_pilot.services.orion import Orion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.errors import ServerRefused
    from battery_pilot.services.ngsi import Entity

ENTITIES, ATTRIBUTES = 10_000, 20
BAR_PER_SECOND = 3_000
SMALL, LARGE = 1_000, 100_000
START = datetime(2026, 1, 1, tzinfo=UTC)

SINK = r"""
import asyncio, sys
counts = {"requests": 0, "updates": 0}
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next((int(l.split(":")[1]) for l in head.split("\r\n") if l.lower().startswith("content-length:")), 0)
            await reader.readexactly(length)
            counts["requests"] += 1
            counts["updates"] += head.startswith("POST /v2/op/update")
            if head.startswith("GET /counts"):
                body = ("%d %d" % (counts["updates"], counts["requests"])).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            else:
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**21)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def fleet(count: int, day: int = 0) -> Iterator[Entity]:
    """Yield batteries with twenty values each, as the mapping writes them."""
    as_of = START + timedelta(days=day)
    for number in range(count):
        values = {
            f"value{index}": attribute(number / (index + 3), as_of=as_of, unitCode="AMH", method="full discharge")
            for index in range(ATTRIBUTES)
        }
        yield {"id": entity_id(f"B{number}"), "type": "Battery", "dateObserved": attribute(as_of), **values}


@contextmanager
def sink() -> Iterator[str]:
    """Run a server that takes everything and says nothing, and give its address."""
    process = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def offer(url: str, folder: Path, count: int = ENTITIES) -> dict[str, float]:
    """Offer a fleet in batches, sync it and sync it again; return seconds, rates and writes."""
    broker = Orion(url)
    entities = list(fleet(count))
    refused: list[ServerRefused] = []

    def synced() -> int:
        counts = sync(broker, entities, SentEntities(folder / "sent.sqlite", url, "passport"))
        refused.extend(counts.refused)
        return counts.written

    found: dict[str, float] = {}
    for name, work in (
        ("offer", lambda: broker.upsert(entities, refused=refused)),
        ("sync", synced),
        ("again", synced),
    ):
        before, wall, processor = _updates(broker), time.perf_counter(), time.process_time()
        written = work()
        found |= {
            f"{name}_wall": time.perf_counter() - wall,
            f"{name}_processor": time.process_time() - processor,
            f"{name}_written": written,
            f"{name}_updates": _updates(broker) - before,
        }
    return found | {"refused": len(refused)}


def peak_megabytes(url: str, count: int) -> float:
    """Sync a fleet that is made while it is sent, in a process of its own, and return its peak memory."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.orion", url, str(count)], check=True, capture_output=True, text=True
    )
    return float(json.loads(answer.stdout))


def lines(rounds: int) -> list[str]:
    """Measure and return lines for the document."""
    runs = []
    with sink() as url:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(offer(url, Path(folder)))
        memory = [peak_megabytes(url, count) for count in (SMALL, LARGE)]
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    rate = {
        f"{work}_{clock}": ENTITIES / middle[f"{work}_{clock}"]
        for work in ("offer", "sync")
        for clock in ("wall", "processor")
    }
    return [
        f"Orion, {ENTITIES:,} entities with {ATTRIBUTES} attributes offered to a sink in {middle['offer_updates']:.0f} "
        f"batches: {rate['offer_wall']:,.0f} entities/s, {rate['offer_processor']:,.0f} per second of processor "
        f"(wanted {BAR_PER_SECOND:,}); {sum(run['refused'] for run in runs)} rejected.",
        f"The same as a first sync, with comparison and bookkeeping: {rate['sync_wall']:,.0f} entities/s, "
        f"{rate['sync_processor']:,.0f} per second of processor.",
        f"Repeated sync of the unchanged fleet: {middle['again_updates']:.0f} writing requests (wanted 0), "
        f"{middle['again_wall']:.2f} s.",
        f"Peak memory of a sync: {memory[0]:.0f} MB for {SMALL:,} batteries, {memory[1]:.0f} MB for {LARGE:,}.",
    ]


def _updates(broker: Orion) -> int:
    answer = broker._http.request("GET", "/counts")  # noqa: SLF001 - the sink's own route
    return int(answer.body.split()[0])


def main() -> None:
    """Sync a fleet to an address and print the peak memory (MB) of this process."""
    url, count = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        sync(Orion(url), fleet(count), SentEntities(Path(folder) / "sent.sqlite", url, "passport"))
    # The peak that getrusage tells is at least that of the process which started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1024)


if __name__ == "__main__":
    main()
