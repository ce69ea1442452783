"""Links on a task that lead to the server it wrote to, and to the story of its negotiations."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.sdk import BaseHook, BaseOperatorLink

from battery_pilot_airflow.hooks import address_of
from battery_pilot_airflow.pages import story_address

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


def _address(connection_id: str) -> str:
    """Return the address of a connection's server, without the credentials that may stand in it."""
    parts = urlsplit(address_of(BaseHook.get_connection(connection_id)))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class AasServerLink(BaseOperatorLink):
    """Leads to the shells of the AASX Server that the task talks to."""

    name = "AASX Server"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's interface
        """Return the address."""
        return f"{_address(operator.aas_conn_id)}/shells"  # type: ignore[attr-defined]


class ConnectorLink(BaseOperatorLink):
    """Leads to the connector that the task talks to."""

    name = "Connector"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's interface
        """Return the address."""
        return _address(operator.connector_conn_id)  # type: ignore[attr-defined]


class NegotiationsLink(BaseOperatorLink):
    """Leads to the page that tells the whole story of the run's negotiations and transfers."""

    name = "Negotiations"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's interface
        """Return the address."""
        return story_address(conf.get("api", "base_url", fallback="/"), ti_key.run_id)
