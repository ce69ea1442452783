"""Registers Battery Pilot with Airflow."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from battery_pilot_airflow.links import AasServerLink, ConnectorLink, NegotiationsLink
from battery_pilot_airflow.pages import PREFIX, Pages


class BatteryPilotPlugin(AirflowPlugin):
    """The one plugin that Airflow loads; everything else lies in the package ``battery_pilot_airflow``."""

    name = "battery_pilot"
    operator_extra_links = [AasServerLink(), ConnectorLink(), NegotiationsLink()]  # noqa: RUF012 - Airflow reads a plain list
    fastapi_apps = [{"app": Pages(), "url_prefix": PREFIX, "name": "Battery Pilot"}]  # noqa: RUF012
