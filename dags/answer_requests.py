"""Provider DAG for connectors that leave agreeing, finalising and starting to their user: TRUE Connector DSP.

It agrees to what is asked for under the terms on offer, finalises what the consumer has verified, starts transfers, and
refuses other terms. A connector that does this by itself (EDC, or TRUE Connector DSP with automatic negotiation) skips the
task.

It is a DAG of its own and no sensor in `provide_passports`: consumers ask when they like, while that one runs when files
have landed, one run at a time, and ends. A sensor in it would leave requests unanswered between runs, or hold up the next
window while it waits. A run of this one answers all that is there and ends within seconds;
`BATTERY_PILOT_ANSWER_SCHEDULE`, such as `* * * * *`, says how long a request waits at most (`never`: only by hand).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from battery_pilot.settings import load
from battery_pilot_airflow.common import DEFAULT_ARGS, timetable
from battery_pilot_airflow.operators.answer import AnswerRequestsOperator


@dag(
    dag_id="answer_requests",
    schedule=timetable(load().answer_schedule),
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    default_args=DEFAULT_ARGS,
    tags=["battery-pilot", "provider"],
    doc_md=__doc__,
)
def answer_requests() -> None:
    """Wire the answers."""
    AnswerRequestsOperator(task_id="answer", connector_conn_id="battery_pilot_provider_connector", pool="connector")


answer_requests()
