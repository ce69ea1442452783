"""The full stack as docker-compose.yaml describes it; no Docker engine is needed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from battery_pilot import settings
from battery_pilot.lake import Lake
from battery_pilot.pipeline.offers import outbox
from battery_pilot.stack.runtime import POOLS

ROOT = Path(__file__).resolve().parents[2]

STATEFUL = {
    "postgres": "/var/lib/postgresql/data",
    "provider-aasx-server": "/usr/share/aasxs",
    "consumer-aasx-server": "/usr/share/aasxs",
    "mongo": "/data/db",
    "provider-connector-mongo": "/data/db",
    "consumer-connector-mongo": "/data/db",
    "provider-connector-storage": "/data",
    "consumer-connector-storage": "/data",
    "airflow-scheduler": "/lake",
    "spark-worker": "/lake",
}

SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY(_|$)")
REQUIRED_VARIABLE = re.compile(r"\$\{([A-Z_]+):\?[^}]+\}")

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def connection(name: str) -> dict[str, Any]:
    """Return an Airflow connection, with the name of the variable in place of a secret."""
    text = SERVICES["airflow-scheduler"]["environment"][f"AIRFLOW_CONN_{name.upper()}"]
    return dict(json.loads(REQUIRED_VARIABLE.sub(r"\1", text)))


def targets(name: str) -> dict[str, str]:
    """Return mount point to source of a service's volumes; a folder of the host that a variable names is ``host``."""
    mounts = (re.sub(r"\$\{[^}]*\}", "host", volume).split(":") for volume in SERVICES[name].get("volumes", []))
    return {mount[1]: mount[0] for mount in mounts}


def test_the_network_has_its_fixed_name_and_subnet() -> None:
    network = COMPOSE["networks"]["pyspark_net"]
    assert network["name"] == "pyspark_net"
    assert network["ipam"]["config"] == [{"subnet": "172.28.0.0/16"}]


@each_service
def test_every_service_is_on_that_network_only(name: str) -> None:
    assert SERVICES[name]["networks"] == ["pyspark_net"]


def test_the_stack_has_all_parts_of_the_design() -> None:
    assert SERVICES.keys() >= {
        "postgres", "airflow-init", "airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer",
        "spark-master", "spark-worker", "provider-aasx-server", "consumer-aasx-server", "mongo", "orion", "aas-agent",
        "outbox", "data-app", "provider-connector", "consumer-connector", "provider-edc", "consumer-edc",
    }  # fmt: skip


def test_only_true_connector_and_its_databases_need_a_profile() -> None:
    parts = {f"{party}-connector{part}" for party in ("provider", "consumer") for part in ("", "-mongo", "-storage")}
    assert {
        name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service
    } == dict.fromkeys(parts, ["true-connector"])


@each_service
def test_no_service_that_starts_by_default_waits_for_one_that_does_not(name: str) -> None:
    if "profiles" not in SERVICES[name]:
        assert not [needed for needed in SERVICES[name].get("depends_on", {}) if "profiles" in SERVICES[needed]]


def test_the_aasx_server_is_published_on_5001() -> None:
    assert "127.0.0.1:5001:5001" in SERVICES["provider-aasx-server"]["ports"]


@pytest.mark.parametrize("name", ["provider-aasx-server", "consumer-aasx-server"])
def test_a_restart_of_the_aasx_server_keeps_its_database(name: str) -> None:
    # The image's entry point drops arguments, and without a start index the server wipes its database.
    service = SERVICES[name]
    assert service["entrypoint"] == ["/bin/bash", "-ec"]
    (script,) = service["command"]
    assert "if [ -f /usr/share/aasxs/database.db ]; then index=1000000" in script
    assert '--start-index "$$index"' in script
    assert "--with-db" in script


def test_orion_is_published_on_1026_and_uses_mongo() -> None:
    orion = SERVICES["orion"]
    assert "127.0.0.1:1026:1026" in orion["ports"]
    assert orion["command"][:2] == ["-dbURI", "mongodb://mongo"]
    assert orion["depends_on"]["mongo"]["condition"] == "service_healthy"
    assert orion["image"].split(":")[1] >= "4"


def test_spark_has_a_master_without_rest_server_and_workers_that_wait_for_it() -> None:
    master, worker = SERVICES["spark-master"], SERVICES["spark-worker"]
    assert "org.apache.spark.deploy.master.Master" in master["command"][2]
    assert master["environment"]["SPARK_MASTER_OPTS"] == "-Dspark.master.rest.enabled=false"
    assert "spark://spark-master:7077" in worker["command"][2]
    assert worker["depends_on"]["spark-master"]["condition"] == "service_healthy"
    spark = connection("spark_default")
    assert f"{spark['host']}:{spark['port']}" == "spark://spark-master:7077"
    assert spark["extra"] == {"deploy-mode": "client"}


def test_workers_reach_the_spark_driver_in_the_scheduler() -> None:
    # The driver announces the machine's name; a loopback address would leave the executors without a driver.
    assert SERVICES["airflow-scheduler"]["hostname"] == "airflow-scheduler"
    for name in ("airflow-scheduler", "spark-worker"):
        assert SERVICES[name]["environment"].keys().isdisjoint({"SPARK_LOCAL_IP", "SPARK_LOCAL_HOSTNAME"})


def test_workers_can_be_scaled() -> None:
    assert SERVICES["spark-worker"].keys().isdisjoint({"hostname", "container_name", "ports"})


@pytest.mark.parametrize("name", ["spark-master", "spark-worker", "airflow-scheduler"])
def test_spark_and_airflow_run_the_same_image(name: str) -> None:
    assert SERVICES[name]["image"] == SERVICES["airflow-apiserver"]["image"]


def test_spark_workers_see_the_files_at_the_same_paths_as_airflow() -> None:
    worker, scheduler = targets("spark-worker"), targets("airflow-scheduler")
    for path in ("/lake", "/landing", "/master", "/opt/battery-pilot/include", "/opt/battery-pilot/jobs"):
        assert worker[path] == scheduler[path]
    environments = [SERVICES[name]["environment"] for name in ("spark-worker", "airflow-scheduler")]
    for variable, path in (("LAKE", "/lake"), ("LANDING", "/landing"), ("MASTER", "/master")):
        assert [environment[f"BATTERY_PILOT_{variable}"] for environment in environments] == [path, path]


@each_service
def test_every_log_file_is_capped_at_200_megabytes(name: str) -> None:
    logging = SERVICES[name]["logging"]
    assert logging["driver"] == "json-file"
    assert logging["options"]["max-size"] == "200m"


@each_service
def test_every_image_has_an_explicit_tag(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition("/")[2].partition(":")
    assert tag not in {"", "latest"}


@pytest.mark.parametrize(
    "dockerfile", sorted((ROOT / "docker").glob("*/Dockerfile")), ids=lambda path: path.parent.name
)
def test_every_base_image_has_an_explicit_tag(dockerfile: Path) -> None:
    bases = re.findall(r"^FROM (\S+)", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    assert bases
    for base in bases:
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", base), base


@each_service
def test_every_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert len(check["test"]) > 1
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert not check.get("disable")


@each_service
def test_services_wait_for_health_or_for_success_of_what_they_need(name: str) -> None:
    for needed, condition in SERVICES[name].get("depends_on", {}).items():
        runs_once = SERVICES[needed]["restart"] == "no"
        assert condition["condition"] == ("service_completed_successfully" if runs_once else "service_healthy")


@each_service
def test_every_service_but_the_preparation_is_restarted(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name == "airflow-init" else "unless-stopped")


@pytest.mark.parametrize(("name", "path"), STATEFUL.items())
def test_named_volumes_keep_the_data(name: str, path: str) -> None:
    assert targets(name)[path] in COMPOSE["volumes"]


def test_every_declared_volume_is_used() -> None:
    assert set(COMPOSE["volumes"]) <= {source for name in SERVICES for source in targets(name).values()}


@each_service
def test_folders_of_the_host_are_mounted_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        if volume.startswith((".", "$")):
            assert volume.endswith(":ro"), volume


@each_service
def test_ports_are_published_on_the_loopback_interface_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_no_two_services_publish_the_same_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports))


@each_service
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service.keys().isdisjoint({"privileged", "cap_add", "network_mode", "pid", "devices"})
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_secrets_come_from_the_environment_and_have_no_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET_NAME.search(variable) and not variable.endswith(("_ALIAS", "_FILE", "S3_ACCESS_KEY")):
            assert REQUIRED_VARIABLE.fullmatch(value) or variable.startswith("AIRFLOW_CONN_"), variable


def test_passwords_inside_addresses_and_connections_are_variables_too() -> None:
    text = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    passwords = re.findall(r'"password": "([^"]*)"', text) + re.findall(r"://[^:/\s]+:(\S.*)@", text)
    assert len(passwords) == 3
    for password in passwords:
        assert REQUIRED_VARIABLE.fullmatch(password), password


def test_tasks_reach_the_api_server() -> None:
    environment = SERVICES["airflow-scheduler"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow-apiserver:8080/execution/"
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


@pytest.mark.parametrize(
    ("name", "service", "port", "path"),
    [
        ("battery_pilot_provider_aas", "provider-aasx-server", 5001, ""),
        ("battery_pilot_consumer_aas", "consumer-aasx-server", 5001, ""),
        ("battery_pilot_orion", "orion", 1026, ""),
        ("battery_pilot_provider_connector", "provider-edc", 8081, "/management"),
        ("battery_pilot_consumer_connector", "consumer-edc", 8081, "/management"),
    ],
)
def test_connections_lead_to_services_of_the_stack(name: str, service: str, port: int, path: str) -> None:
    assert "profiles" not in SERVICES[service]
    assert connection(name)["host"] == f"http://{service}:{port}{path}"


@pytest.mark.parametrize("party", ["provider", "consumer"])
def test_the_connector_hook_accepts_the_connections(party: str) -> None:
    from battery_pilot_airflow.hooks import party_of

    content = connection(f"battery_pilot_{party}_connector")
    found = party_of(
        cast(
            "Any",
            SimpleNamespace(
                conn_id=party,
                host=content["host"],
                port=None,
                password=content["password"],
                extra_dejson=content["extra"],
            ),
        )
    )
    if party == "provider":
        assert found.outbox_url == "http://outbox:8080"
    else:
        assert found.counterparty.participant_id == SERVICES["provider-edc"]["environment"]["EDC_PARTICIPANT_ID"]


@pytest.mark.parametrize("party", ["provider", "consumer"])
def test_edc_and_its_connection_agree(party: str) -> None:
    environment, content = SERVICES[f"{party}-edc"]["environment"], connection(f"battery_pilot_{party}_connector")
    assert content["extra"]["participant_id"] == environment["EDC_PARTICIPANT_ID"] == party
    assert content["host"].endswith(
        f":{environment['WEB_HTTP_MANAGEMENT_PORT']}{environment['WEB_HTTP_MANAGEMENT_PATH']}"
    )
    assert REQUIRED_VARIABLE.sub(r"\1", environment["WEB_HTTP_MANAGEMENT_AUTH_KEY"]) == content["password"]
    assert content["password"] == f"{party.upper()}_CONNECTOR_API_KEY"


def test_the_consumer_asks_the_protocol_address_of_the_provider() -> None:
    extra = connection("battery_pilot_consumer_connector")["extra"]
    environment = SERVICES["provider-edc"]["environment"]
    assert extra["counterparty_id"] == environment["EDC_PARTICIPANT_ID"]
    assert extra["counterparty_url"] == f"{environment['EDC_DSP_CALLBACK_ADDRESS']}/2025-1"
    assert extra["protocol"] == "dataspace-protocol-http:2025-1"


def test_the_outbox_serves_what_the_provider_releases_and_nothing_else() -> None:
    configuration = (ROOT / "docker" / "outbox" / "nginx.conf").read_text(encoding="utf-8")
    lake = Path(SERVICES["airflow-scheduler"]["environment"]["BATTERY_PILOT_LAKE"])
    assert re.findall(r"^\s*root (\S+);", configuration, re.MULTILINE) == [str(outbox(Lake(lake / "provider")))]
    assert re.findall(r"^\s*listen (\d+);", configuration, re.MULTILINE) == ["8080"]
    assert connection("battery_pilot_provider_connector")["extra"]["asset_base_url"] == "http://outbox:8080"
    assert "ports" not in SERVICES["outbox"]


def test_airflow_gets_every_setting_of_the_library() -> None:
    assert settings.__doc__
    known = set(re.findall(r"``(BATTERY_PILOT_[A-Z_]+)``", settings.__doc__))
    assert known
    assert {name for name in SERVICES["airflow-scheduler"]["environment"] if name.startswith("BATTERY_")} == known


def test_the_provider_catalogue_names_the_address_of_its_connector() -> None:
    path = ROOT / "docker" / "true-connector" / "provider" / "initial_data.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    (service,) = data["dataservices"]
    assert service["endpointURL"].rstrip("/") == SERVICES["provider-connector"]["environment"]["CALLBACK_ADDRESS"]
    (distribution,) = data["distributions"]
    (catalogue,) = data["catalogs"]
    assert distribution["accessService"]["$id"] == catalogue["service"][0]["$id"] == service["_id"]
    assert catalogue["distribution"][0]["$id"] == distribution["_id"]


def test_the_connectors_get_every_variable_that_their_properties_use() -> None:
    properties = (ROOT / "docker" / "true-connector" / "application.properties").read_text(encoding="utf-8")
    used = set(re.findall(r"=\$\{([A-Z0-9_]+)\}", properties))
    assert used
    for party in ("provider", "consumer"):
        assert used <= SERVICES[f"{party}-connector"]["environment"].keys()


def test_the_image_installs_the_lock_and_no_other_pyspark() -> None:
    dockerfile = (ROOT / "docker" / "airflow" / "Dockerfile").read_text(encoding="utf-8")
    assert "pip install --no-cache-dir --requirement requirements.txt" in dockerfile
    for command in re.findall(r"pip install (.*)", dockerfile):
        assert "pyspark" not in command
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    versions = re.findall(r"^pyspark(?:-client)?==(\S+)", lock, re.MULTILINE)
    assert len(versions) == 2
    assert versions[0] == versions[1]


def test_the_image_has_one_supported_python_everywhere() -> None:
    dockerfile = (ROOT / "docker" / "airflow" / "Dockerfile").read_text(encoding="utf-8")
    (minor,) = re.findall(r"^FROM python:(3\.\d+)", dockerfile, re.MULTILINE)
    assert minor in {"3.11", "3.12"}
    assert set(re.findall(r"/python(3\.\d+)/", dockerfile)) == {minor}


def test_every_pool_of_the_dags_is_made() -> None:
    dags = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dags").glob("*.py"))
    used = set(re.findall(r'pool="(\w+)"', dags))
    pools = json.loads((ROOT / "docker" / "airflow" / "pools.json").read_text(encoding="utf-8"))
    assert used == pools.keys()
    assert {name: pool["slots"] for name, pool in pools.items()} == POOLS


def read_variables(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_the_example_environment_names_every_required_variable() -> None:
    text = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) <= read_variables(ROOT / ".env.example").keys()


def test_the_example_environment_has_no_secret() -> None:
    for name, value in read_variables(ROOT / ".env.example").items():
        if SECRET_NAME.search(name):
            assert value == "", name


def make_env(target: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "docker" / "make-env.sh"), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def test_make_env_fills_every_secret_with_another_value(tmp_path: Path) -> None:
    target = tmp_path / "env"
    assert make_env(target).returncode == 0
    variables = read_variables(target)
    assert variables.keys() == read_variables(ROOT / ".env.example").keys()
    secrets = [value for name, value in variables.items() if SECRET_NAME.search(name)]
    assert all(len(value) >= 16 for value in secrets)
    assert len(secrets) == len(set(secrets))
    assert target.stat().st_mode & 0o077 == 0


def test_make_env_makes_keys_that_airflow_accepts(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    target = tmp_path / "env"
    make_env(target)
    variables = read_variables(target)
    Fernet(variables["AIRFLOW_FERNET_KEY"])
    assert len(variables["AIRFLOW_JWT_SECRET"]) >= 64


def test_make_env_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "env"
    target.write_text("POSTGRES_PASSWORD=kept\n", encoding="utf-8")
    result = make_env(target)
    assert result.returncode == 1
    assert "stays as it is" in result.stderr
    assert target.read_text(encoding="utf-8") == "POSTGRES_PASSWORD=kept\n"
