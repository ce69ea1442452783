"""Training DAG: recorded states in, a model of the next state of health out.

`collect` writes the provider's recorded states as one table, `train` fits and tests the model on Spark. A model that is
no better than the last known value is not released, and `consume_passports` goes on with the one before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from battery_pilot.settings import load
from battery_pilot_airflow.common import DEFAULT_ARGS, timetable
from battery_pilot_airflow.operators.train import CollectHistoryOperator, TrainHealthModelOperator


@dag(
    dag_id="train_health_model",
    schedule=timetable(load().training_schedule),
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args=DEFAULT_ARGS,
    tags=["battery-pilot", "learning"],
    doc_md=__doc__,
)
def train_health_model() -> None:
    """Wire the training."""
    CollectHistoryOperator(task_id="collect") >> TrainHealthModelOperator(
        task_id="train", conn_id="spark_default", pool="spark"
    )


train_health_model()
