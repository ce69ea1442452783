from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from battery_pilot.errors import TerminalError, TransientError
from battery_pilot.lake import write_json, write_lines
from battery_pilot.pipeline.discover import manifest_of
from battery_pilot_airflow.common import provider_lake, run_window
from battery_pilot_airflow.operators.consume import ScoreHealthOperator
from battery_pilot_airflow.operators.provide import BuildPassportsOperator, ProcessMeasurementsOperator
from battery_pilot_airflow.operators.spark import SparkJobOperator
from battery_pilot_airflow.operators.train import TrainHealthModelOperator


class ExampleJob(SparkJobOperator):
    """A job with arguments of its own."""

    def job_arguments(self, context):
        return ["--fleet", "7"]


@pytest.fixture
def submit(monkeypatch):
    """Stand in for spark-submit: write a result where the job would, and fail or not."""
    seen = []

    def prepare(result=None, error=None):
        def execute(self, context):
            seen.append(self)
            path = Path(self.application_args[-1])
            assert path.parent.is_dir()
            if result is not None:
                write_json(path, result)
            if error is not None:
                raise error

        monkeypatch.setattr(SparkSubmitOperator, "execute", execute)
        return seen

    return prepare


def test_the_result_of_the_job_is_the_result_of_the_task(submit, context):
    result = {"job": "example", "status": "succeeded", "files_read": 3}
    (task,) = [ExampleJob(task_id="t", job="example.py")]
    seen = submit(result)
    assert task.execute(context) == result
    assert seen == [task]
    assert task.application_args[:3] == ["--fleet", "7", "--result"]
    assert not Path(task.application_args[-1]).exists()


def test_an_error_that_trying_again_cannot_mend_is_terminal(submit, context):
    error = "battery BP-1: no model INR in the table models"
    submit({"job": "example", "status": "failed", "error": error, "retry": False}, AirflowException("exit code 1"))
    task = ExampleJob(task_id="t", job="example.py")
    with pytest.raises(TerminalError, match=f"^{error}$") as raised:
        task.execute(context)
    assert isinstance(raised.value.__cause__, AirflowException)
    assert not Path(task.application_args[-1]).exists()


def test_an_error_that_may_pass_is_transient(submit, context):
    result = {"job": "example", "status": "failed", "error": "the history is locked", "retry": True}
    submit(result, AirflowException("exit code 1"))
    with pytest.raises(TransientError, match="^the history is locked$"):
        ExampleJob(task_id="t", job="example.py").execute(context)


@pytest.mark.parametrize("error", [AirflowException("exit code 137"), RuntimeError("no spark-submit")])
def test_a_crash_without_a_result_keeps_its_own_error(submit, context, error):
    submit(None, error)
    with pytest.raises(type(error)) as raised:
        ExampleJob(task_id="t", job="example.py").execute(context)
    assert raised.value is error


def test_a_failure_after_the_result_was_written_is_no_success(submit, context):
    error = AirflowException("exit code 143")
    submit({"job": "example", "status": "succeeded"}, error)
    with pytest.raises(AirflowException, match="143"):
        ExampleJob(task_id="t", job="example.py").execute(context)


def test_two_tries_never_share_a_result(submit, context):
    submit({"status": "succeeded"})
    tasks = [ExampleJob(task_id="t", job="example.py") for _ in range(2)]
    for task in tasks:
        task.execute(context)
    assert tasks[0].application_args[-1] != tasks[1].application_args[-1]


def test_the_job_lies_in_the_project_and_runs_with_this_python(monkeypatch, project):
    import sys

    monkeypatch.setenv("BATTERY_PILOT_SPARK_MEMORY", "3g")
    task = ProcessMeasurementsOperator(task_id="process")
    assert Path(task.application) == project / "jobs" / "process_measurements.py"
    assert Path(task.application).is_file()
    assert task.conf["spark.pyspark.python"] == sys.executable
    assert task.conf["spark.sql.session.timeZone"] == "UTC"
    assert task._driver_memory == "3g"


@pytest.mark.parametrize("master", ["local", "local[*]", "local[2]"])
def test_a_local_driver_starts_quickly_and_has_room_for_compiled_code(submit, context, connection, master):
    """One compiler alone means a code cache of 48 MB: Spark fills it and dies of a VirtualMachineError."""
    connection("spark_default", conn_type="spark", host=master)
    submit({"status": "succeeded"})
    task = ExampleJob(task_id="t", job="example.py")
    task.execute(context)
    options = task.conf["spark.driver.extraJavaOptions"]
    assert "-XX:TieredStopAtLevel=1" in options
    assert "-XX:ReservedCodeCacheSize=240m" in options


@pytest.mark.parametrize("fields", [{"host": "spark://spark-master", "port": 7077}, {"host": "yarn"}, None])
def test_a_cluster_gets_the_compilers_and_collectors_of_its_own_choice(submit, context, connection, fields):
    if fields:
        connection("spark_default", conn_type="spark", **fields)
    submit({"status": "succeeded"})
    task = ExampleJob(task_id="t", job="example.py", conn_id="spark_default" if fields else "missing")
    task.execute(context)
    assert "spark.driver.extraJavaOptions" not in task.conf


def test_every_job_that_an_operator_names_exists():
    operators = (ProcessMeasurementsOperator, BuildPassportsOperator, ScoreHealthOperator, TrainHealthModelOperator)
    for operator in operators:
        assert Path(operator(task_id="t").application).is_file()


def test_a_job_without_arguments_of_its_own_says_so(context):
    with pytest.raises(NotImplementedError, match="SparkJobOperator does not say what its job works on"):
        SparkJobOperator(task_id="t", job="example.py").job_arguments(context)


def test_process_works_on_the_window_of_the_run(installation, context):
    assert ProcessMeasurementsOperator(task_id="process").job_arguments(context) == [
        "--lake", str(installation / "lake" / "provider"),
        "--window", "20260101T000000Z_20260201T000000Z",
        "--master", str(installation / "master"),
    ]  # fmt: skip


def test_score_without_a_model_skips_with_the_remedy(context):
    with pytest.raises(AirflowSkipException, match="no model in .*: run the DAG train_health_model first"):
        ScoreHealthOperator(task_id="score").job_arguments(context)


def test_score_reads_the_consumers_table_with_the_installations_model(installation, context):
    write_json(installation / "lake" / "models" / "current.json", {"version": "v"})
    consumer = installation / "lake" / "consumer"
    assert ScoreHealthOperator(task_id="score").job_arguments(context) == [
        "--history", str(consumer / "health_history"),
        "--models", str(installation / "lake" / "models"),
        "--output", str(consumer / "predictions" / "table"),
    ]  # fmt: skip


def test_train_reads_the_providers_table(installation, context):
    assert TrainHealthModelOperator(task_id="train").job_arguments(context) == [
        "--history", str(installation / "lake" / "provider" / "health_history"),
        "--models", str(installation / "lake" / "models"),
    ]  # fmt: skip


def test_a_result_can_travel_between_tasks(submit, context):
    submit({"status": "succeeded", "mae": 0.5})
    assert json.loads(json.dumps(ExampleJob(task_id="t", job="example.py").execute(context)))["mae"] == 0.5


def test_a_long_job_of_a_local_driver_gets_the_optimising_compiler(submit, context, connection):
    class LongJob(ExampleJob):
        def is_short(self, context):
            return False

    connection("spark_default", conn_type="spark", host="local[*]")
    submit({"status": "succeeded"})
    task = LongJob(task_id="t", job="example.py")
    task.execute(context)
    assert "spark.driver.extraJavaOptions" not in task.conf


@pytest.mark.parametrize(("files", "is_short"), [(1999, True), (2000, False)])
def test_processing_many_files_is_no_short_job(tmp_path, monkeypatch, context, files, is_short):
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path))
    write_lines(manifest_of(provider_lake(), run_window(context)), ({"path": str(n)} for n in range(files)))
    assert ProcessMeasurementsOperator(task_id="t").is_short(context) is is_short
