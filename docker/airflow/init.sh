#!/bin/sh
# Prepares Airflow: its database, the pools of the DAGs, the folders of the lake. Safe to repeat.
set -eu

airflow db migrate
airflow pools import /opt/battery-pilot/docker/airflow/pools.json
mkdir -p "$BATTERY_PILOT_LAKE/provider/outbox" "$BATTERY_PILOT_LAKE/consumer"
