"""Operators of the provider: from landing files to offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from battery_pilot.settings import load
from battery_pilot_airflow.common import StageOperator, provider_lake, run_window, share_of
from battery_pilot_airflow.hooks import AasServerHook, ConnectorHook, history_signer, history_store
from battery_pilot_airflow.links import AasServerLink, ConnectorLink
from battery_pilot_airflow.operators.spark import SparkJobOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


MANY_FILES = 2000
"""From this many files on a local Spark driver compiles its code with care instead of starting quickly."""


class DiscoverFilesOperator(StageOperator):
    """List the landing files of the run's window; a window with neither files nor life events skips the rest of the run.

    :param landing: landing folder; empty for the configured one. (templated)
    """

    template_fields: Sequence[str] = ("landing",)

    def __init__(self, *, landing: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.landing = landing

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the manifest and return the number of files."""
        from pathlib import Path

        from battery_pilot.pipeline.discover import discover
        from battery_pilot.pipeline.lives import has_events

        landing = Path(self.landing) if self.landing else load().landing
        found = discover(provider_lake(), landing, run_window(context))
        if not found["files"] and not has_events(load().master, run_window(context)):
            raise AirflowSkipException(f"no files in {landing} for {run_window(context).key}, and no life events")
        return found


class ProcessMeasurementsOperator(SparkJobOperator):
    """Parse the window's files and derive cycles, spectra and aggregates, on Spark."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="process_measurements.py", **kwargs)

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's arguments."""
        lake, window = provider_lake(), run_window(context)
        return ["--lake", str(lake.root), "--window", window.key, "--master", str(load().master)]

    def is_short(self, context: Context) -> bool:
        """Tell whether the window brought few files."""
        from battery_pilot.pipeline.discover import manifest_of

        with manifest_of(provider_lake(), run_window(context)).open("rb") as lines:
            return sum(1 for _ in lines) < MANY_FILES


class BuildPassportsOperator(SparkJobOperator):
    """Build the passports of the batteries that the window brought news of: a few at once, a fleet on Spark.

    :param reject_threshold_percent: share of rejected files above which the run fails. (templated)
    :param spark_from_batteries: from this many measured batteries on Spark builds them; below, its start takes longer than
        the work. (templated)
    """

    template_fields: Sequence[str] = (
        *SparkJobOperator.template_fields,
        "reject_threshold_percent",
        "spark_from_batteries",
    )

    def __init__(
        self, *, reject_threshold_percent: str | float = 20, spark_from_batteries: str | int = 2000, **kwargs: Any
    ) -> None:
        super().__init__(job="build_passports.py", **kwargs)
        self.reject_threshold_percent = reject_threshold_percent
        self.spark_from_batteries = spark_from_batteries

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's arguments."""
        settings, lake, window = load(), provider_lake(), run_window(context)
        places = ["--lake", str(lake.root), "--window", window.key, "--master", str(settings.master)]
        return [*places, "--base-iri", settings.base_iri]

    def is_short(self, context: Context) -> bool:
        """Only a fleet is built on Spark."""
        return False

    def execute(self, context: Context) -> Any:
        """Build and return counts."""
        from battery_pilot.pipeline.build import build, check_rejects, count_measured

        settings, lake, window = load(), provider_lake(), run_window(context)
        counts = check_rejects(lake, window, float(self.reject_threshold_percent))
        if count_measured(lake, window) >= int(self.spark_from_batteries):
            return {**counts, **super().execute(context)}
        return {**counts, **build(lake, settings.master, window, settings.base_iri, workers=os.cpu_count() or 1)}


class PushPassportsOperator(StageOperator):
    """Bring the AASX Server to the state of the window's passports.

    :param aas_conn_id: connection of the server.
    :param read_back_percent: share of the batteries that are read back and compared afterwards; 100 compares the unchanged
        ones too. (templated)
    """

    template_fields: Sequence[str] = ("read_back_percent",)
    operator_extra_links = (AasServerLink(),)

    def __init__(self, *, aas_conn_id: str, read_back_percent: str | float = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aas_conn_id = aas_conn_id
        self.read_back_percent = read_back_percent

    def execute(self, context: Context) -> dict[str, int]:
        """Push and return counts."""
        from battery_pilot.pipeline.release import push

        if context["params"].get("dry_run"):
            raise AirflowSkipException("dry run: nothing is pushed")
        server, share = AasServerHook(self.aas_conn_id).get_conn(), share_of(self.read_back_percent)
        return push(provider_lake(), run_window(context), server, history_store(), load().base_iri, read_back=share)


class RecordHistoryOperator(StageOperator):
    """Add the window's passports to the append-only history."""

    def execute(self, context: Context) -> dict[str, int]:
        """Record and return counts."""
        from battery_pilot.pipeline.release import record_versions

        window = run_window(context)
        # Every tier sees what recorded a version, and the id of a run is free text of whoever triggers it.
        run = f"{context['dag'].dag_id}/{window.key}"
        return record_versions(provider_lake(), window, history_store(), load().base_iri, run)


class PublishOffersOperator(StageOperator):
    """Release the window's current passports and offer them in the data space.

    :param connector_conn_id: connection of the party's connector.
    """

    operator_extra_links = (ConnectorLink(),)

    def __init__(self, *, connector_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connector_conn_id = connector_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Publish and return counts."""
        from battery_pilot.passport.model import Tier
        from battery_pilot.pipeline.fleets import Granularity
        from battery_pilot.pipeline.offers import publish
        from battery_pilot.services.connectors.policies import Demands

        params = context["params"]
        tiers = [Tier(tier) for tier in params["tiers"]]
        demands = Demands(
            recipients=tuple(params.get("recipients") or ()),
            roles=tuple(params.get("roles") or ()),
            purposes=tuple(params.get("purposes") or ()),
            valid_days=params.get("valid_days"),
            maximum_uses=params.get("maximum_uses"),
        )
        party = ConnectorHook(self.connector_conn_id).get_conn()
        return publish(
            provider_lake(),
            run_window(context),
            history_store(),
            party,
            load().base_iri,
            tiers,
            signer=history_signer(),
            demands=demands,
            granularity=Granularity(params.get("granularity", Granularity.BATTERY)),
        )
