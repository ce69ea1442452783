"""Consumer DAG: contracts in, updated twins and predictions out.

| task | what it does |
| --- | --- |
| `expire` | removes what an agreement lets us hold no longer: files, twins, entities, predictions; records that it did |
| `negotiate` | asks for a contract for every offer of the tier that has none, and waits without a worker |
| `pull` | transfers what was agreed into the lake; of a fleet or model only what changed |
| `verify` | form, metamodel, hashes, history, signature, tier, battery; bad ones go to quarantine; receipts to the history |
| `update`, `field_values` | the twins on our AASX Server, and values that applications wrote into Orion |
| `sync` | FIWARE Orion |
| `score`, `write_back` | predictions on Spark, and their way to twins and Orion |

The link *Negotiations* on `negotiate` and `pull` tells the whole story of the run, in the words of the other side too.
Ending one of the two tasks by hand terminates what is under way; run again, they take up what was begun.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, Param, dag

from battery_pilot.settings import load
from battery_pilot_airflow.common import DEFAULT_ARGS, timetable
from battery_pilot_airflow.operators.consume import (
    ApplyFieldValuesOperator,
    NegotiateContractsOperator,
    PullPassportsOperator,
    RemoveExpiredOperator,
    ScoreHealthOperator,
    SyncContextBrokerOperator,
    UpdateTwinsOperator,
    VerifyPassportsOperator,
    WriteBackPredictionsOperator,
)

OFFERS = Asset("battery_pilot_offers", uri="battery-pilot://offers")
TIMES = timetable(load().consumer_schedule)


@dag(
    dag_id="consume_passports",
    # A provider on the same installation announces its offers; others are looked up on schedule.
    schedule=AssetOrTimeSchedule(timetable=TIMES, assets=[OFFERS]) if TIMES else [OFFERS],
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
    default_args=DEFAULT_ARGS,
    tags=["battery-pilot", "consumer"],
    params={
        "tier": Param(
            "legitimate_interest",
            type="string",
            enum=["public", "legitimate_interest", "authority"],
            title="Tier",
            description="Access tier (Annex XIII) of the offers to ask for.",
        ),
        "sync_way": Param(
            "direct",
            type="string",
            enum=["direct", "agent"],
            title="Way to the context broker",
            description="Write to FIWARE Orion directly, or through the FIWARE AAS Agent (slower, the same result).",
        ),
    },
    doc_md=__doc__,
)
def consume_passports() -> None:
    """Wire the consumer's stages."""
    connector, aas, orion = "battery_pilot_consumer_connector", "battery_pilot_consumer_aas", "battery_pilot_orion"
    expire = RemoveExpiredOperator(task_id="expire", aas_conn_id=aas, orion_conn_id=orion, pool="aasx")
    negotiate = NegotiateContractsOperator(task_id="negotiate", connector_conn_id=connector, pool="connector")
    pull = PullPassportsOperator(task_id="pull", connector_conn_id=connector, pool="connector")
    verify = VerifyPassportsOperator(task_id="verify")
    update = UpdateTwinsOperator(task_id="update", aas_conn_id=aas, pool="aasx")
    field_values = ApplyFieldValuesOperator(task_id="field_values", aas_conn_id=aas, orion_conn_id=orion, pool="aasx")
    sync = SyncContextBrokerOperator(task_id="sync", orion_conn_id=orion, pool="orion")
    score = ScoreHealthOperator(task_id="score", conn_id="spark_default", pool="spark")
    write_back = WriteBackPredictionsOperator(task_id="write_back", aas_conn_id=aas, orion_conn_id=orion, pool="aasx")
    expire >> negotiate >> pull >> verify >> update >> field_values >> sync >> score >> write_back


consume_passports()
