"""Operator of the training DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot_airflow.common import StageOperator, provider_lake
from battery_pilot_airflow.operators.spark import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class CollectHistoryOperator(StageOperator):
    """Write the recorded states of all batteries as the table that the training job reads."""

    def execute(self, context: Context) -> dict[str, int]:
        """Write and return the number of states."""
        from battery_pilot.pipeline.health_history import write_conditions

        return {"states": write_conditions(provider_lake())}


class TrainHealthModelOperator(SparkJobOperator):
    """Train the model that predicts a battery's next state of health, on Spark."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="train_health_model.py", **kwargs)

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's arguments."""
        from battery_pilot.pipeline.health_history import history_folder, models_folder

        return ["--history", str(history_folder(provider_lake())), "--models", str(models_folder())]
