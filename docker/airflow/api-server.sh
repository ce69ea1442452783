#!/bin/sh
# Starts Airflow's API server and web UI with the administrator's password of the environment.
set -eu

umask 077
python -c 'import json, os; print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))' \
    > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
umask 022
exec airflow api-server --port 8080
