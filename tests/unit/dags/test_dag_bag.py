from __future__ import annotations

import pytest

NAMES = {"provide_passports", "consume_passports", "train_health_model", "answer_requests"}


@pytest.fixture(scope="module")
def bag(project):
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(project / "dags"))


def test_every_dag_loads(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_dag_follows_the_house_rules(bag, name):
    dag = bag.dags[name]
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert "battery-pilot" in dag.tags
    assert dag.doc_md
    assert dag.dagrun_timeout is not None
    for task in dag.tasks:
        assert task.retries == 3
        assert task.execution_timeout is not None
        assert task.retry_policy is not None


def test_the_provider_has_real_data_intervals(bag):
    from airflow.sdk import CronDataIntervalTimetable

    assert type(bag.dags["provide_passports"].timetable).__name__ == CronDataIntervalTimetable.__name__


def test_the_stages_stand_in_the_order_of_the_design(bag):
    chains = {name: [task.task_id for task in bag.dags[name].topological_sort()] for name in NAMES}
    assert chains == {
        "provide_passports": ["discover", "process", "build", "push", "record", "publish"],
        "consume_passports": [
            "expire",
            "negotiate",
            "pull",
            "verify",
            "update",
            "field_values",
            "sync",
            "score",
            "write_back",
        ],
        "train_health_model": ["collect", "train"],
        "answer_requests": ["answer"],
    }


def test_every_parameter_explains_itself_on_the_form(bag):
    for name in NAMES:
        for key in bag.dags[name].params:
            described = bag.dags[name].params.get_param(key)
            assert described.description, f"{name}.{key}"
            assert described.schema.get("title"), f"{name}.{key}"
            assert described.schema.get("type"), f"{name}.{key}"


def test_every_task_explains_itself_on_its_page(bag):
    for dag in bag.dags.values():
        for task in dag.tasks:
            assert task.doc_md, task.task_id
            assert ":param" not in task.doc_md


def test_the_documentation_of_a_dag_names_each_of_its_tasks(bag):
    for name in NAMES - {"answer_requests"}:
        assert [one.task_id for one in bag.dags[name].tasks if f"`{one.task_id}`" not in bag.dags[name].doc_md] == []


def test_every_pool_is_made_by_the_stack(bag):
    from battery_pilot.stack.runtime import POOLS

    used = {task.pool for dag in bag.dags.values() for task in dag.tasks} - {"default_pool"}
    assert used == set(POOLS)
