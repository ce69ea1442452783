"""The one way in which DAGs start Spark jobs."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from battery_pilot.errors import TerminalError, TransientError
from battery_pilot.settings import load
from battery_pilot_airflow.common import task_doc

if TYPE_CHECKING:
    from airflow.sdk import Context

JOBS = Path(__file__).resolve().parents[3] / "jobs"

# For a driver that does all the work itself: short jobs gain more from a quick start than from the optimising compiler and
# the parallel collector. With one compiler the JVM reserves only 48 MB for compiled code, which Spark fills within a few
# jobs and then dies.
QUICK_START = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Xshare:auto"


class SparkJobOperator(SparkSubmitOperator):
    """Submit one of the project's jobs to the master of the Spark connection and return the job's result.

    A job writes its result, or the sentence that tells why there is none, to the file that ``--result`` names.

    :param job: file name in ``jobs/``.
    :param conn_id: Spark connection; its master decides where the job runs.
    """

    def __init__(self, *, job: str, conn_id: str = "spark_default", **kwargs: Any) -> None:
        super().__init__(
            application=str(JOBS / job),
            name=job.removesuffix(".py"),
            conn_id=conn_id,
            deploy_mode="client",
            driver_memory=load().spark_memory,
            # Without it the provider tracks a driver id that client mode does not have.
            durable=False,
            conf={
                "spark.log.level": "WARN",
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
                "spark.pyspark.python": sys.executable,
                "spark.pyspark.driver.python": sys.executable,
                "spark.sql.session.timeZone": "UTC",
            },
            env_vars={"PYSPARK_PYTHON": sys.executable},
            **{"doc_md": task_doc(type(self)), **kwargs},
        )

    def job_arguments(self, context: Context) -> list[str]:
        """Return the job's own arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its job works on")

    def is_short(self, context: Context) -> bool:
        """Tell whether the job is over before the optimising compiler would pay."""
        return True

    def execute(self, context: Context) -> Any:
        """Run the job and return its result.

        :raises TerminalError: with the job's own sentence, if trying again cannot help.
        :raises TransientError: with the job's own sentence, if it can.
        """
        result = load().lake / "_results" / f"{uuid.uuid4().hex}.json"
        result.parent.mkdir(parents=True, exist_ok=True)
        if self._is_local() and self.is_short(context):
            self.conf = {**(self.conf or {}), "spark.driver.extraJavaOptions": QUICK_START}
        self.application_args = [*self.job_arguments(context), "--result", str(result)]
        try:
            super().execute(context)
        except AirflowException as error:
            outcome = _read(result)
            if "error" not in outcome:
                raise
            kind = TransientError if outcome["retry"] else TerminalError
            raise kind(outcome["error"]) from error
        else:
            return _read(result)
        finally:
            result.unlink(missing_ok=True)

    def _is_local(self) -> bool:
        """Whether the driver does all the work itself; a connection that is missing is left to the provider to report."""
        try:
            connection = SparkSubmitHook.get_connection(self._conn_id)
        except AirflowNotFoundException:
            return False
        return (connection.host or "").startswith("local")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
