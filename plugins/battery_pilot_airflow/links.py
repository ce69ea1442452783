"""Links on a task that lead to the server it wrote to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


def _host_of(connection_id: str | None) -> str:
    from airflow.sdk import BaseHook

    return BaseHook.get_connection(connection_id).host or "" if connection_id else ""


class AasServerLink(BaseOperatorLink):
    """Leads to the shells of the AASX Server that the task talks to."""

    name = "AASX Server"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's interface
        """Return the address."""
        host = _host_of(getattr(operator, "aas_conn_id", None))
        return f"{host.rstrip('/')}/shells" if host else ""


class ConnectorLink(BaseOperatorLink):
    """Leads to the connector that the task talks to."""

    name = "Connector"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's interface
        """Return the address."""
        return _host_of(getattr(operator, "connector_conn_id", None))
