"""Provider DAG: files in, passports and offers out.

| task | what it does |
| --- | --- |
| `discover` | lists what has landed in the run's window; nothing at all skips the rest |
| `process` | reads the files on Spark and derives the batteries' condition; bad files go to quarantine with a reason |
| `build` | makes the passports; too many rejected files fail the run here |
| `push` | brings the AASX Server to their state |
| `record` | adds them to the append-only history |
| `publish` | releases the current ones and offers them in the data space; takes back what is closed or no longer wanted |

A run covers its data interval, or the two window parameters. Every task can be run again: same input, same result.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, Param, dag

from battery_pilot.settings import load
from battery_pilot_airflow.common import DEFAULT_ARGS, timetable
from battery_pilot_airflow.operators.provide import (
    BuildPassportsOperator,
    DiscoverFilesOperator,
    ProcessMeasurementsOperator,
    PublishOffersOperator,
    PushPassportsOperator,
    RecordHistoryOperator,
)

OFFERS = Asset("battery_pilot_offers", uri="battery-pilot://offers")

NAMES = {"type": ["null", "array"], "items": {"type": "string", "pattern": "^[^\\s,\"'{}\\[\\]]{1,200}$"}}
LIMIT = {"type": ["null", "integer"], "minimum": 1}
WINDOW_TIME = {"type": ["null", "string"], "format": "date-time"}


@dag(
    dag_id="provide_passports",
    schedule=timetable(load().provider_schedule),
    # Early enough for any history: a run by hand with a date before it would end green without doing anything.
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    # Sums since begin of life are right when months are processed in order.
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
    default_args=DEFAULT_ARGS,
    tags=["battery-pilot", "provider"],
    params={
        "landing": Param(
            None, type=["null", "string"], title="Source folder",
            description="Landing folder; empty: the configured one.",
        ),
        "tiers": Param(
            ["legitimate_interest"],
            type="array",
            items={"type": "string", "enum": ["public", "legitimate_interest", "authority"]},
            examples=["public", "legitimate_interest", "authority"],
            title="Tiers to publish",
            description="Access tiers (Annex XIII) whose views are offered in the data space.",
        ),
        "granularity": Param(
            "battery", type="string", enum=["battery", "model", "fleet"], title="One offer for",
            values_display={"battery": "each battery", "model": "each battery model", "fleet": "the whole fleet"},
            description="Of a model or the fleet a consumer needs one agreement only and finds the batteries by an index. "
            "A change takes the former offers back; a TRUE Connector can only offer each battery by itself.",
        ),
        "recipients": Param(
            None, **NAMES, title="Recipients", section="Usage policy",
            description="Ids of the participants that alone may have the authority tier; that tier needs them.",
        ),
        "roles": Param(
            None, **NAMES, title="Roles", section="Usage policy",
            description="One of these roles a participant must have for the tiers above public.",
        ),
        "purposes": Param(
            None, **NAMES, title="Purposes", section="Usage policy",
            description="Purposes of use that the tiers above public are offered for.",
        ),
        "valid_days": Param(
            365, **LIMIT, title="Days of use", section="Usage policy",
            description="How many days after the agreement the tiers above public may be used; empty: without an end. With "
            "a TRUE Connector, which knows dates alone: until the end of the month so many days from now.",
        ),
        "maximum_uses": Param(
            None, **LIMIT, title="Number of uses", section="Usage policy",
            description="How often they may be used; only for a connector that counts.",
        ),
        "reject_threshold_percent": Param(
            20, type="number", minimum=0, maximum=100, title="Reject threshold",
            description="Share of unreadable files, in percent, above which the run fails.",
        ),
        "spark_from_batteries": Param(
            2000, type="integer", minimum=1, title="Build on Spark from",
            description="Number of measured batteries from which on Spark builds the passports; fewer need no cluster.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run",
            description="Read, derive and build, but push, record and publish nothing.",
        ),
        "window_start": Param(
            None, **WINDOW_TIME, title="Window start",
            description="First moment of the landing window, instead of the run's data interval.",
        ),
        "window_end": Param(
            None, **WINDOW_TIME, title="Window end", description="First moment after the landing window.",
        ),
    },
    doc_md=__doc__,
)  # fmt: skip
def provide_passports() -> None:
    """Wire the provider's stages."""
    discover = DiscoverFilesOperator(task_id="discover", landing="{{ params.landing or '' }}")
    process = ProcessMeasurementsOperator(task_id="process", conn_id="spark_default", pool="spark")
    build = BuildPassportsOperator(
        task_id="build",
        conn_id="spark_default",
        pool="spark",
        reject_threshold_percent="{{ params.reject_threshold_percent }}",
        spark_from_batteries="{{ params.spark_from_batteries }}",
    )
    push = PushPassportsOperator(task_id="push", aas_conn_id="battery_pilot_provider_aas", pool="aasx")
    record = RecordHistoryOperator(task_id="record")
    publish = PublishOffersOperator(
        task_id="publish", connector_conn_id="battery_pilot_provider_connector", pool="connector", outlets=[OFFERS]
    )
    discover >> process >> build >> push >> record >> publish


provide_passports()
