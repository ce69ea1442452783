"""Waits, in the triggerer, until a run's negotiations or transfers have an outcome."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from battery_pilot.errors import TransientError
from battery_pilot_airflow.hooks import ConnectorHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ContractsTrigger(BaseTrigger):
    """Fire when none of a run's negotiations or transfers is under way any more.

    What it learns goes into the journal, where it was recorded before the wait began; writing it twice is harmless.

    :param connector_conn_id: connection of the connector.
    :param journal: path of the contract journal.
    :param run: the run whose contracts are awaited.
    :param awaited: ``negotiations`` or ``transfers``.
    :param poll_second: pause between two looks.
    :param deadline: when to give up, seconds since the epoch.
    """

    def __init__(
        self, *, connector_conn_id: str, journal: str, run: str, awaited: str, poll_second: float, deadline: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.connector_conn_id = connector_conn_id
        self.journal = journal
        self.run_key = run
        self.awaited = awaited
        self.poll_second = poll_second
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make this trigger again."""
        arguments = {
            "connector_conn_id": self.connector_conn_id,
            "journal": self.journal,
            "run": self.run_key,
            "awaited": self.awaited,
            "poll_second": self.poll_second,
            "deadline": self.deadline,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, pause, look again; yield one event."""
        from battery_pilot.pipeline.acquire import SETTLE
        from battery_pilot.pipeline.contracts import ContractJournal

        party = await ConnectorHook(self.connector_conn_id).aget_conn()
        journal = ContractJournal(Path(self.journal))
        pending: int | None = None
        while True:
            try:
                pending = await asyncio.to_thread(SETTLE[self.awaited], journal, party, self.run_key)
            except TransientError as error:
                # The connector may be restarting; the deadline bounds our patience.
                self.log.warning("the connector did not answer, asking again: %s", error)
            else:
                if pending == 0:
                    yield TriggerEvent({"status": "settled"})  # type: ignore[no-untyped-call]
                    return
            if time.time() > self.deadline:
                yield TriggerEvent({"status": "timeout", "pending": pending})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_second)

    async def on_kill(self) -> None:
        """End what the run has under way when a user ends the waiting task; a restart of the triggerer ends nothing."""
        from battery_pilot.pipeline.acquire import cancel
        from battery_pilot.pipeline.contracts import ContractJournal

        party = await ConnectorHook(self.connector_conn_id).aget_conn()
        await asyncio.to_thread(cancel, ContractJournal(Path(self.journal)), party, self.run_key)
