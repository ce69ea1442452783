"""Operators of the provider: from landing files to offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from battery_pilot.settings import load
from battery_pilot_airflow.common import StageOperator, provider_lake, run_window
from battery_pilot_airflow.hooks import AasServerHook, ConnectorHook, history_store
from battery_pilot_airflow.links import AasServerLink, ConnectorLink
from battery_pilot_airflow.operators.spark import SparkJobOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class DiscoverFilesOperator(StageOperator):
    """List the landing files of the run's window; a window without files skips the rest of the run.

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

        landing = Path(self.landing) if self.landing else load().landing
        found = discover(provider_lake(), landing, run_window(context))
        if not found["files"]:
            raise AirflowSkipException(f"no files in {landing} for {run_window(context).key}")
        return found


class ProcessMeasurementsOperator(SparkJobOperator):
    """Parse the window's files and derive cycles, spectra and aggregates, on Spark."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="process_measurements.py", **kwargs)

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's arguments."""
        lake, window = provider_lake(), run_window(context)
        return ["--lake", str(lake.root), "--window", window.key, "--master", str(load().master)]


class BuildPassportsOperator(StageOperator):
    """Build the passports of the batteries that the window brought news of.

    :param reject_threshold_percent: share of rejected files above which the run fails. (templated)
    """

    template_fields: Sequence[str] = ("reject_threshold_percent",)

    def __init__(self, *, reject_threshold_percent: str | float = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reject_threshold_percent = reject_threshold_percent

    def execute(self, context: Context) -> dict[str, Any]:
        """Build and return counts."""
        from battery_pilot.pipeline.build import build, check_rejects

        settings, lake, window = load(), provider_lake(), run_window(context)
        counts = check_rejects(lake, window, float(self.reject_threshold_percent))
        return {**counts, **build(lake, settings.master, window, settings.base_iri, workers=os.cpu_count() or 1)}


class PushPassportsOperator(StageOperator):
    """Put the window's passports on the AASX Server.

    :param aas_conn_id: connection of the server.
    """

    operator_extra_links = (AasServerLink(),)

    def __init__(self, *, aas_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aas_conn_id = aas_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Push and return counts."""
        from battery_pilot.pipeline.release import push

        if context["params"].get("dry_run"):
            raise AirflowSkipException("dry run: nothing is pushed")
        server = AasServerHook(self.aas_conn_id).get_conn()
        return push(provider_lake(), run_window(context), server, history_store(), load().base_iri)


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
        from battery_pilot.pipeline.release import publish

        tiers = [Tier(tier) for tier in context["params"]["tiers"]]
        party = ConnectorHook(self.connector_conn_id).get_conn()
        return publish(provider_lake(), run_window(context), history_store(), party, load().base_iri, tiers)
