"""What all operators share: the window of a run, retries, the base class."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, CronDataIntervalTimetable, ExceptionRetryPolicy, RetryAction, RetryRule

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window
from battery_pilot.settings import load

if TYPE_CHECKING:
    from airflow.sdk import Context

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception="battery_pilot.errors.TerminalError",
            action=RetryAction.FAIL,
            reason="trying again would not help",
        ),
        RetryRule(
            exception="battery_pilot.errors.TransientError",
            action=RetryAction.RETRY,
            reason="may succeed when tried again",
        ),
    ]
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "battery-pilot",
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=6),
}


def timetable(cron: str) -> CronDataIntervalTimetable | None:
    """Return the timetable of a schedule setting: explicit data intervals in UTC, or ``None`` for ``never``."""
    return None if cron == "never" else CronDataIntervalTimetable(cron, timezone="UTC")


def provider_lake() -> Lake:
    """Return the provider's part of the lake."""
    return Lake(load().lake / "provider")


def consumer_lake() -> Lake:
    """Return the consumer's part of the lake."""
    return Lake(load().lake / "consumer")


def run_window(context: Context) -> Window:
    """Return the window of a run: its parameters where they are given, else its data interval.

    :raises InputError: if the run has neither; "now" is never an input.
    """
    params = context["params"]
    start, end = params.get("window_start"), params.get("window_end")
    if start and end:
        return Window(_moment(start), _moment(end))
    if start or end:
        raise InputError("parameters window_start and window_end belong together: give both or none")
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    if first is None or last is None or first == last:
        raise InputError(
            "this run has no window: trigger it with a logical date, as a backfill, or with the parameters window_start "
            "and window_end"
        )
    return Window(first, last)


def share_of(percent: str | float) -> float:
    """Return a percentage as a share from 0 to 1.

    :raises InputError: it is no number from 0 to 100.
    """
    try:
        share = float(percent) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"read_back_percent is {percent!r}: expected a number from 0 to 100")
    return share


def _moment(text: str) -> datetime:
    """Return the time that a parameter names; a form may give it without a zone, which then is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def task_doc(operator: type) -> str:
    """Return what a task's page in the web UI says of it: the first paragraph of the operator's docstring."""
    return (inspect.getdoc(operator) or "").partition("\n\n")[0]


class StageOperator(BaseOperator):
    """Base of the operators that run one stage of the pipeline.

    A stage reads what the stage before it left in the lake, so operators take no data from each other; what
    :meth:`execute` returns are counts for the reader.
    """

    ui_color = "#d7f0e5"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"doc_md": task_doc(type(self)), **kwargs})
