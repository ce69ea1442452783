"""Operators of the consumer: from a catalogue to updated twins and predictions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from battery_pilot.errors import NegotiationFailed
from battery_pilot_airflow.common import StageOperator, consumer_lake
from battery_pilot_airflow.hooks import AasServerHook, ConnectorHook, OrionHook
from battery_pilot_airflow.links import AasServerLink, ConnectorLink
from battery_pilot_airflow.operators.spark import SparkJobOperator
from battery_pilot_airflow.triggers.connector import ContractsTrigger

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Context


class _ContractsOperator(StageOperator):
    """Base of the operators that start something at the connector and wait for its outcome without a worker.

    :param connector_conn_id: connection of the party's connector.
    :param poll_second: pause between two looks at the connector.
    :param patience_second: how long to wait for all outcomes.
    """

    operator_extra_links = (ConnectorLink(),)
    awaited: str

    def __init__(
        self, *, connector_conn_id: str, poll_second: float = 2, patience_second: float = 3600, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.connector_conn_id = connector_conn_id
        self.poll_second = poll_second
        self.patience_second = patience_second

    def wait(self, context: Context) -> None:
        """Hand over to the triggerer."""
        from battery_pilot.pipeline.acquire import journal_of

        self.defer(
            trigger=ContractsTrigger(
                connector_conn_id=self.connector_conn_id,
                journal=str(journal_of(consumer_lake()).path),
                run=context["run_id"],
                awaited=self.awaited,
                poll_second=self.poll_second,
                deadline=time.time() + self.patience_second,
            ),
            method_name="execute_complete",
        )

    def demand_settled(self, event: dict[str, Any]) -> None:
        """Raise if the wait ran out of time."""
        if event["status"] != "settled":
            number = "an unknown number of" if event["pending"] is None else event["pending"]
            raise NegotiationFailed(
                f"{number} {self.awaited} had no outcome after {self.patience_second:.0f} s: "
                "look at the counterparty's connector, then run this task again"
            )


class NegotiateContractsOperator(_ContractsOperator):
    """Ask for a contract for every offered passport and wait until each request has an outcome."""

    awaited = "negotiations"

    def execute(self, context: Context) -> None:
        """Request, record, wait."""
        from battery_pilot.passport.model import Tier
        from battery_pilot.pipeline.acquire import journal_of, request_contracts

        party = ConnectorHook(self.connector_conn_id).get_conn()
        tier = Tier(context["params"]["tier"])
        counts = request_contracts(journal_of(consumer_lake()), party, context["run_id"], tier)
        if not counts["offers"]:
            raise AirflowSkipException(f"{party.counterparty_id} offers no passports of tier {tier}")
        self.wait(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """Count agreements and refusals."""
        from battery_pilot.pipeline.acquire import contract_counts, journal_of

        self.demand_settled(event)
        return contract_counts(journal_of(consumer_lake()), context["run_id"])


class PullPassportsOperator(_ContractsOperator):
    """Transfer what was agreed into the lake."""

    awaited = "transfers"

    def execute(self, context: Context) -> None:
        """Start the transfers, wait."""
        from battery_pilot.pipeline.acquire import journal_of, start_transfers

        start_transfers(
            journal_of(consumer_lake()), ConnectorHook(self.connector_conn_id).get_conn(), context["run_id"]
        )
        self.wait(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """Fetch and count."""
        from battery_pilot.pipeline.acquire import journal_of, pull

        self.demand_settled(event)
        lake = consumer_lake()
        return pull(lake, journal_of(lake), ConnectorHook(self.connector_conn_id).get_conn(), context["run_id"])


class VerifyPassportsOperator(StageOperator):
    """Check what was pulled: form, metamodel, hashes, history, and whose it is."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Verify and return counts."""
        from battery_pilot.passport.model import Tier
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import verify

        lake = consumer_lake()
        return verify(lake, journal_of(lake), context["run_id"], Tier(context["params"]["tier"]))


class UpdateTwinsOperator(StageOperator):
    """Bring the consumer's own AASX Server to the state of the verified passports.

    :param aas_conn_id: connection of the server.
    """

    operator_extra_links = (AasServerLink(),)

    def __init__(self, *, aas_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aas_conn_id = aas_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Update and return counts."""
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import update_twins

        lake = consumer_lake()
        return update_twins(lake, journal_of(lake), context["run_id"], AasServerHook(self.aas_conn_id).get_conn())


class SyncContextBrokerOperator(StageOperator):
    """Bring FIWARE Orion to the state of the twins.

    :param orion_conn_id: connection of the context broker.
    """

    def __init__(self, *, orion_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.orion_conn_id = orion_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Sync and return counts."""
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import sync_entities

        lake = consumer_lake()
        return sync_entities(lake, journal_of(lake), context["run_id"], OrionHook(self.orion_conn_id).get_conn())


class ScoreHealthOperator(SparkJobOperator):
    """Predict the next state of health of every pulled battery, on Spark."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="score_health.py", **kwargs)

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's arguments; a consumer without a model has nothing to score with."""
        from battery_pilot.pipeline.health_history import history_folder, models_folder

        models = models_folder()
        if not (models / "current.json").exists():
            raise AirflowSkipException(f"no model in {models}: run the DAG train_health_model first")
        return [
            "--history", str(history_folder(consumer_lake())),
            "--models", str(models),
            "--output", str(predictions_folder() / "table"),
        ]  # fmt: skip


class WriteBackPredictionsOperator(StageOperator):
    """Add the predictions to the twins and to the context broker.

    :param aas_conn_id: connection of the consumer's AASX Server.
    :param orion_conn_id: connection of the context broker.
    """

    operator_extra_links = (AasServerLink(),)

    def __init__(self, *, aas_conn_id: str, orion_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aas_conn_id = aas_conn_id
        self.orion_conn_id = orion_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Write back and return counts."""
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import write_back

        lake = consumer_lake()
        return write_back(
            lake,
            journal_of(lake),
            context["run_id"],
            predictions_folder() / "predictions.jsonl",
            AasServerHook(self.aas_conn_id).get_conn(),
            OrionHook(self.orion_conn_id).get_conn(),
        )


def predictions_folder() -> Path:
    """Return where the scoring job leaves its predictions: a Parquet ``table`` and, beside it, JSON lines."""
    return consumer_lake().root / "predictions"
