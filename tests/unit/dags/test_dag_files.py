from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("pandas", "numpy", "pyarrow", "pyspark", "scipy", "basyx", "pymongo", "matplotlib", "aas_core3_1")
NAMES = ("provide_passports", "consume_passports", "train_health_model", "answer_requests")

# Imports a DAG file the way Airflow does, with every attempt to open a connection forbidden.
PROBE = """
import importlib.util, json, socket, sys, time

def refuse(*_, **__):
    raise RuntimeError("a DAG file opened a connection")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import airflow.sdk, airflow.providers.apache.spark.operators.spark_submit
begin = time.perf_counter()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps({"modules": sorted(sys.modules), "second": time.perf_counter() - begin}))
"""


@pytest.fixture(scope="module", params=NAMES)
def imported(request, project, tmp_path_factory):
    import os

    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "PYTHONPATH": f"{project / 'plugins'}{os.pathsep}{project / 'include'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(project / "dags" / f"{request.param}.py")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_dag_file_imports_without_network_and_without_heavy_packages(imported):
    assert [name for name in HEAVY if name in imported["modules"]] == []
