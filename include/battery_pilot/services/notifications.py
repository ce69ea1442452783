"""Notifications of Orion as JSON lines: one line an attribute, in files that a reader sees whole or not at all.

A small HTTP server takes the notifications. It answers after their lines are on disk: Orion does not send a notification
again. What comes within a moment shares a file, because many tiny files are slow to read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response

from battery_pilot.errors import InputError
from battery_pilot.lake import write_lines
from battery_pilot.services.ngsi import attributes_of, modified_at, note_of, observed_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

Row = dict[str, Any]

PATH = "/notify"
MAXIMUM_BYTES = 16 * 2**20
"""Longest notification that is taken; Orion sends 8 MB at most."""

GATHERING_SECOND = 0.2
FIELDS = {
    "received_at": "timestamp",
    "subscription_id": "string",
    "service": "string",
    "service_path": "string",
    "entity_id": "string",
    "entity_type": "string",
    "attribute": "string",
    "type": "string",
    "number": "double",
    "text": "string",
    "observed_at": "timestamp",
    "modified_at": "timestamp",
    "unit_code": "string",
}
"""Fields of a line, with their types in Spark. ``number`` or ``text`` holds the value, any other value is JSON in ``text``."""

SPARK_SCHEMA = ", ".join(f"{name} {kind}" for name, kind in FIELDS.items())
"""The schema in the form that Spark's readers take."""


def notification_rows(body: Any, headers: Mapping[str, str], received_at: datetime) -> Iterator[Row]:
    """Yield the lines of one notification.

    :param body: the notification's JSON.
    :param headers: its HTTP headers, names in lower case.
    :param received_at: when it came.
    :raises InputError: it is no notification in NGSI-v2's normalised form.
    """
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise InputError("this is no notification: expected subscriptionId and data")
    for entity in body["data"]:
        if not isinstance(entity, dict) or not {"id", "type"} <= entity.keys():
            raise InputError("this is no notification: an entity has no id or type")
        for name, attribute in attributes_of(entity).items():
            if not isinstance(attribute, dict) or "value" not in attribute:
                raise InputError("this notification is not normalised: subscribe without attrsFormat")
            yield {
                "received_at": _text(received_at),
                "subscription_id": str(body.get("subscriptionId", "")),
                "service": headers.get("fiware-service", ""),
                "service_path": headers.get("fiware-servicepath", "/"),
                "entity_id": entity["id"],
                "entity_type": entity["type"],
                "attribute": name,
                "type": str(attribute.get("type", "")),
                **_value(attribute["value"]),
                "observed_at": _text(observed_at(attribute)),
                "modified_at": _text(modified_at(attribute)),
                "unit_code": note_of(attribute, "unitCode"),
            }


class _Gatherer:
    """Gathers lines for a moment and writes them together.

    :param folder: gets a folder ``date=YYYY-MM-DD`` for each day, with the files.
    :param gathering_second: how long lines are gathered for one file.
    """

    def __init__(self, folder: Path, gathering_second: float) -> None:
        self._folder = folder
        self._gathering_second = gathering_second
        self._waiting: list[tuple[list[Row], asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def add(self, rows: list[Row]) -> None:
        """Return once the lines are on disk.

        :raises OSError: they cannot be written.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, done))
        self._arrived.set()
        await done

    async def run(self) -> None:
        """Write what was gathered, again and again."""
        while True:
            await self._arrived.wait()
            await asyncio.sleep(self._gathering_second)
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(_write, self._folder, [row for rows, _ in batch for row in rows])
            except OSError as error:
                log.error("notifications cannot be written: %s", error)  # noqa: TRY400 - the reason says it all
                for _, done in batch:
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(None)


def create_app(folder: Path, *, gathering_second: float = GATHERING_SECOND) -> FastAPI:
    """Create the receiver.

    :param folder: gets a folder ``date=YYYY-MM-DD`` for each day, with the files.
    :param gathering_second: how long notifications are gathered for one file.
    """
    gatherer = _Gatherer(folder, gathering_second)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        writer = asyncio.create_task(gatherer.run())
        yield
        writer.cancel()

    app = FastAPI(title="Notifications of Orion", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.post(PATH)
    async def notify(request: Request) -> Response:
        if int(request.headers.get("content-length", "0")) > MAXIMUM_BYTES:
            return Response(f"more than {MAXIMUM_BYTES} bytes", 413)
        try:
            rows = list(notification_rows(json.loads(await request.body()), request.headers, datetime.now(UTC)))
        except (InputError, ValueError) as error:
            log.warning("refused a notification: %s", error)
            return Response(str(error), 400)
        try:
            await gatherer.add(rows)
        except OSError:
            return Response("the notification cannot be kept", 507)
        return Response(status_code=204)

    @app.get("/health")
    async def health() -> Response:
        return Response("ok")

    return app


def _write(folder: Path, rows: list[Row]) -> None:
    if not rows:
        return
    now = datetime.now(UTC)
    path = folder / f"date={now:%Y-%m-%d}" / f"{now:%H%M%S%f}-{uuid.uuid4().hex[:8]}.jsonl"
    log.info("wrote %d values to %s", write_lines(path, rows), path)


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"number": float(value), "text": None}
    if value is None or isinstance(value, str):
        return {"number": None, "text": value}
    return {"number": None, "text": json.dumps(value, ensure_ascii=False)}


def _text(moment: datetime | None) -> str | None:
    return (
        None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
