from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from battery_pilot_airflow.hooks import ConnectorHook
from battery_pilot_airflow.operators.answer import AnswerRequestsOperator


@pytest.fixture
def answer(monkeypatch):
    def run(connector):
        monkeypatch.setattr(ConnectorHook, "get_conn", lambda _: SimpleNamespace(connector=connector))
        return AnswerRequestsOperator(task_id="answer", connector_conn_id="c").execute({})

    return run


def test_a_connector_that_waits_for_its_user_is_answered_for(answer):
    assert answer(SimpleNamespace(answer_requests=lambda: {"agreed": 2})) == {"agreed": 2}


def test_a_connector_that_answers_by_itself_skips_the_task(answer):
    with pytest.raises(AirflowSkipException, match="by itself"):
        answer(SimpleNamespace())
