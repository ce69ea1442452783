"""All settings that come from the environment, in one place.

======================================  =====================================================================
variable                                meaning (default)
======================================  =====================================================================
``BATTERY_PILOT_LAKE``                  top folder of the lake; each party has its own below (``var/lake``)
``BATTERY_PILOT_LANDING``               folder into which instruments deliver files (``var/landing``)
``BATTERY_PILOT_MASTER``                folder with ``models.csv`` and ``batteries.csv`` (``var/master``)
``BATTERY_PILOT_BASE_IRI``              prefix of all identifiers (``https://battery-pilot.example``)
``BATTERY_PILOT_PROVIDER_SCHEDULE``     cron expression of the provider DAG (``0 0 * * *``)
``BATTERY_PILOT_CONSUMER_SCHEDULE``     cron expression of the consumer DAG (``0 3 * * *``)
``BATTERY_PILOT_TRAINING_SCHEDULE``     cron expression of the training DAG (``0 4 * * 0``)
``BATTERY_PILOT_ANSWER_SCHEDULE``       cron expression of the DAG ``answer_requests`` (``never``)
``BATTERY_PILOT_HISTORY_CONNECTION``    Airflow connection of a MongoDB that keeps the history (none: SQLite)
``BATTERY_PILOT_SIGNING_KEY_FILE``      file with the Ed25519 key (PEM) that signs histories (none: unsigned)
``BATTERY_PILOT_SIGNING_CONNECTION``    Airflow connection whose password is that key, instead of a file
``BATTERY_PILOT_TRUSTED_KEYS``          file with the key set (JWKS) that must have signed what is pulled (none: unsigned)
``BATTERY_PILOT_SPARK_MEMORY``          memory of a Spark driver (``1g``)
======================================  =====================================================================

A schedule may be ``never``: the DAG then runs by hand only (the consumer also when offers appear).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The settings of one installation; the module's table says what each one means."""

    lake: Path
    landing: Path
    master: Path
    base_iri: str
    provider_schedule: str
    consumer_schedule: str
    training_schedule: str
    answer_schedule: str
    history_connection: str | None
    signing_key: Path | None
    signing_connection: str | None
    trusted_keys: Path | None
    spark_memory: str


def load() -> Settings:
    """Return the settings that the environment gives."""

    def value(name: str, default: str) -> str:
        return os.environ.get(f"BATTERY_PILOT_{name}") or default

    def path(name: str) -> Path | None:
        text = value(name, "")
        return Path(text).absolute() if text else None

    return Settings(
        lake=Path(value("LAKE", "var/lake")).absolute(),
        landing=Path(value("LANDING", "var/landing")).absolute(),
        master=Path(value("MASTER", "var/master")).absolute(),
        base_iri=value("BASE_IRI", "https://battery-pilot.example").rstrip("/"),
        provider_schedule=value("PROVIDER_SCHEDULE", "0 0 * * *"),
        consumer_schedule=value("CONSUMER_SCHEDULE", "0 3 * * *"),
        training_schedule=value("TRAINING_SCHEDULE", "0 4 * * 0"),
        answer_schedule=value("ANSWER_SCHEDULE", "never"),
        history_connection=os.environ.get("BATTERY_PILOT_HISTORY_CONNECTION") or None,
        signing_key=path("SIGNING_KEY_FILE"),
        signing_connection=os.environ.get("BATTERY_PILOT_SIGNING_CONNECTION") or None,
        trusted_keys=path("TRUSTED_KEYS"),
        spark_memory=value("SPARK_MEMORY", "1g"),
    )
