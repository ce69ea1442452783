"""Provider DAG for connectors that leave agreeing, finalising and starting to their user: TRUE Connector DSP."""

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
