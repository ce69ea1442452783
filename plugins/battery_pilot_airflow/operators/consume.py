"""Operators of the consumer: from a catalogue to updated twins and predictions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from battery_pilot.errors import NegotiationFailed
from battery_pilot.settings import load
from battery_pilot_airflow.common import StageOperator, consumer_lake, share_of
from battery_pilot_airflow.hooks import AasServerHook, ConnectorHook, OrionHook
from battery_pilot_airflow.links import AasServerLink, ConnectorLink, NegotiationsLink
from battery_pilot_airflow.operators.spark import SparkJobOperator
from battery_pilot_airflow.triggers.connector import ContractsTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow.sdk import Context


class _ContractsOperator(StageOperator):
    """Base of the operators that start something at the connector and wait for its outcome without a worker.

    :param connector_conn_id: connection of the party's connector.
    :param poll_second: pause between two looks at the connector.
    :param patience_second: how long to wait for all outcomes.
    """

    operator_extra_links = (NegotiationsLink(), ConnectorLink())
    awaited: str
    _run: str | None = None

    def __init__(
        self, *, connector_conn_id: str, poll_second: float = 2, patience_second: float = 3600, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.connector_conn_id = connector_conn_id
        self.poll_second = poll_second
        self.patience_second = patience_second

    def on_kill(self) -> None:
        """End what the run has under way when the task is ended while it asks; while it waits, the trigger does that."""
        from battery_pilot.pipeline.acquire import cancel, journal_of

        if self._run is not None:
            cancel(journal_of(consumer_lake()), ConnectorHook(self.connector_conn_id).get_conn(), self._run)

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

        self._run = context["run_id"]
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

        self._run = context["run_id"]
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


class _ShownOperator(StageOperator):
    """Base of the operators that work on both places where the consumer shows twins.

    :param aas_conn_id: connection of the consumer's AASX Server.
    :param orion_conn_id: connection of the context broker.
    """

    operator_extra_links = (AasServerLink(),)

    def __init__(self, *, aas_conn_id: str, orion_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aas_conn_id = aas_conn_id
        self.orion_conn_id = orion_conn_id


class RemoveExpiredOperator(_ShownOperator):
    """Remove what the agreements allow us to hold no longer, twins and entities too, and record the removal."""

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 - the same for every run
        """Remove and return counts."""
        from datetime import UTC, datetime

        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.expiry import remove_expired

        lake, server = consumer_lake(), AasServerHook(self.aas_conn_id).get_conn()
        return remove_expired(
            lake, journal_of(lake), datetime.now(UTC), server, OrionHook(self.orion_conn_id).get_conn()
        )


class VerifyPassportsOperator(StageOperator):
    """Check what was pulled: form, metamodel, hashes, history, and whose it is."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Verify and return counts."""
        from battery_pilot.passport.model import Tier
        from battery_pilot.passport.signature import read_keys
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import verify

        lake, trusted = consumer_lake(), load().trusted_keys
        keys = read_keys(trusted.read_bytes()) if trusted else None
        return verify(lake, journal_of(lake), context["run_id"], Tier(context["params"]["tier"]), keys=keys)


class UpdateTwinsOperator(StageOperator):
    """Bring the consumer's own AASX Server to the state of the verified passports.

    :param aas_conn_id: connection of the server.
    :param read_back_percent: share of the twins that are read back and compared afterwards; 100 compares the unchanged ones
        too. (templated)
    """

    template_fields: Sequence[str] = ("read_back_percent",)
    operator_extra_links = (AasServerLink(),)

    def __init__(self, *, aas_conn_id: str, read_back_percent: str | float = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aas_conn_id = aas_conn_id
        self.read_back_percent = read_back_percent

    def execute(self, context: Context) -> dict[str, int]:
        """Update and return counts."""
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import update_twins

        lake, server = consumer_lake(), AasServerHook(self.aas_conn_id).get_conn()
        share = share_of(self.read_back_percent)
        return update_twins(lake, journal_of(lake), context["run_id"], server, read_back=share)


class ApplyFieldValuesOperator(_ShownOperator):
    """Write to the twins what applications have written into FIWARE Orion since."""

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 - the broker has no runs
        """Apply and return counts."""
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.field_values import apply_field_values
        from battery_pilot.pipeline.sent_entities import SentEntities
        from battery_pilot.pipeline.shown import pushed_states
        from battery_pilot.pipeline.twins import sent_file

        lake, broker = consumer_lake(), OrionHook(self.orion_conn_id).get_conn()
        server = AasServerHook(self.aas_conn_id).get_conn()
        sent = SentEntities(sent_file(lake), broker.place, "passport")
        with pushed_states(lake, server) as states:
            return apply_field_values(journal_of(lake), broker, sent, server, states)


class SyncContextBrokerOperator(StageOperator):
    """Bring FIWARE Orion to the state of the twins, the way that the DAG's parameter ``sync_way`` says.

    :param orion_conn_id: connection of the context broker.
    :param tier: leave out what the broker's readers may not see.
    :param named_by_path: name attributes by their path in the passport, as the FIWARE AAS Agent does.
    """

    def __init__(
        self, *, orion_conn_id: str, tier: str = "authority", named_by_path: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.orion_conn_id = orion_conn_id
        self.tier = tier
        self.named_by_path = named_by_path

    def execute(self, context: Context) -> dict[str, int]:
        """Sync and return counts."""
        from battery_pilot.passport.model import Tier
        from battery_pilot.pipeline.acquire import journal_of
        from battery_pilot.pipeline.twins import sync_entities

        lake = consumer_lake()
        return sync_entities(
            lake,
            journal_of(lake),
            context["run_id"],
            OrionHook(self.orion_conn_id).broker(_sync_way(context)),
            tier=Tier(self.tier),
            named_by_path=self.named_by_path,
        )


class SubscribeContextBrokerOperator(StageOperator):
    """Create or change a subscription to batteries; done twice it is one.

    :param orion_conn_id: connection of the context broker.
    :param notify_url: where the broker posts changes to, such as the address of `battery-pilot orion receive`.
    :param attributes: attributes that are watched and sent; all when empty.
    :param description: what the subscription is for; it identifies the subscription.
    """

    template_fields: Sequence[str] = ("notify_url",)

    def __init__(
        self,
        *,
        orion_conn_id: str,
        notify_url: str,
        attributes: Sequence[str] = (),
        description: str = "battery-pilot",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.orion_conn_id = orion_conn_id
        self.notify_url = notify_url
        self.attributes = attributes
        self.description = description

    def execute(self, context: Context) -> dict[str, str]:  # noqa: ARG002 - the same for every run
        """Subscribe and return the subscription's id."""
        from battery_pilot.pipeline.entity_table import BATTERY

        identifier = (
            OrionHook(self.orion_conn_id)
            .get_conn()
            .subscribe(self.description, entity_type=BATTERY, notify_url=self.notify_url, attributes=self.attributes)
        )
        return {"subscription": identifier}


def _sync_way(context: Context) -> str:
    return str(context["params"].get("sync_way", "direct"))


class ScoreHealthOperator(SparkJobOperator):
    """Predict the next state of health and the remaining life of every pulled battery, on Spark."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="score_health.py", **kwargs)

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's arguments; a consumer without a model has nothing to score with."""
        from battery_pilot.learning.life_card import FOLDER
        from battery_pilot.learning.model_store import is_released
        from battery_pilot.pipeline.health_history import history_folder, models_folder

        models = models_folder()
        if not (is_released(models) or is_released(models / FOLDER)):
            raise AirflowSkipException(f"no model in {models}: run the DAG train_health_model first")
        return [
            "--history", str(history_folder(consumer_lake())),
            "--models", str(models),
            "--output", str(predictions_folder() / "table"),
        ]  # fmt: skip


class WriteBackPredictionsOperator(_ShownOperator):
    """Add the predictions to the twins and to the context broker."""

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
            OrionHook(self.orion_conn_id).broker(_sync_way(context)),
        )


def predictions_folder() -> Path:
    """Return where the scoring job leaves its predictions: a Parquet ``table`` and, beside it, JSON lines."""
    return consumer_lake().root / "predictions"
