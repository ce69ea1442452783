"""The provider's part of negotiations and transfers, where its connector leaves that to its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from battery_pilot_airflow.common import StageOperator
from battery_pilot_airflow.hooks import ConnectorHook
from battery_pilot_airflow.links import ConnectorLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class AnswerRequestsOperator(StageOperator):
    """Agree to what is asked for under the terms on offer, finalise, and start transfers; other terms are refused.

    A connector that does this by itself skips the task.

    :param connector_conn_id: connection of the provider's connector.
    """

    operator_extra_links = (ConnectorLink(),)

    def __init__(self, *, connector_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connector_conn_id = connector_conn_id

    def execute(self, context: Context) -> dict[str, int]:  # noqa: ARG002 -- Airflow's signature
        """Answer and return counts."""
        from battery_pilot.services.connectors.true_dsp_requests import AnswersRequests

        connector = ConnectorHook(self.connector_conn_id).get_conn().connector
        if not isinstance(connector, AnswersRequests):
            raise AirflowSkipException("this connector answers requests by itself")
        return connector.answer_requests()
