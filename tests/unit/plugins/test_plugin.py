from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

# Loads the plugins folder as Airflow does in each of its processes.
PROBE = """
import json, logging, sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
before = set(sys.modules)
print(json.dumps({
    "plugins": [plugin.name for plugin in plugins if str(plugin.source).find("battery_pilot") >= 0],
    "errors": errors,
    "logging": sys.modules["logging"].__file__,
    "links": [type(link).__name__ for link in plugins_manager.get_operator_extra_links()],
    "pages": [one["url_prefix"] for one in plugins_manager.get_fastapi_plugins()[0]],
    "web": [name for name in ("airflow.api_fastapi.core_api.security", "airflow.api_fastapi.app") if name in before],
    "executed": [name for name in sys.modules if name.startswith("battery_pilot_airflow.operators")],
}))
"""


@pytest.fixture(scope="module")
def loaded(project, tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(project / "include"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_exactly_one_plugin_is_loaded_and_it_is_ours(loaded):
    assert loaded["plugins"] == ["battery_pilot"]
    assert loaded["errors"] == {}


def test_no_module_of_ours_takes_the_place_of_one_of_python(loaded):
    assert loaded["logging"] == logging.__file__


def test_the_links_are_registered(loaded):
    assert {"AasServerLink", "ConnectorLink", "NegotiationsLink"} <= set(loaded["links"])


def test_the_pages_are_mounted_and_cost_nothing_before_they_are_asked_for(loaded):
    assert loaded["pages"] == ["/battery-pilot"]
    assert loaded["web"] == []


def test_the_plugin_does_not_load_the_operators(loaded):
    assert loaded["executed"] == []
