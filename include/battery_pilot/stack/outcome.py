"""What the demo leaves behind: numbers from the servers, passport files, tables for the report."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from battery_pilot.lake import Lake, read_lines
from battery_pilot.outbox import shard
from battery_pilot.pipeline.subjects import TABLE, folder_of, subjects
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.model import Counterparty

if TYPE_CHECKING:
    import pandas as pd

    from battery_pilot.sandbox.server import SandboxUrls
    from battery_pilot.stack.runtime import Folders


def count_servers(urls: SandboxUrls) -> dict[str, int]:
    """Ask the provider's servers what they hold.

    :return: ``passports_pushed`` (shells of the AASX Server), ``offers_published`` (the catalogue as a consumer sees it).
    """
    consumer = EdcConnector(f"{urls.consumer_connector}/management", api_key=urls.api_key, participant_id="consumer")
    provider = Counterparty("provider", f"{urls.provider_connector}/protocol/2025-1")
    return {
        "passports_pushed": sum(1 for _ in AasServer(urls.provider_aas).shells()),
        "offers_published": sum(1 for _ in consumer.catalogue(provider)),
    }


def export_passports(folders: Folders) -> int:
    """Write every battery's newest passport to ``passports/`` as AASX and as JSON, and return how many there are."""
    from battery_pilot.passport.identifiers import slug
    from battery_pilot.passport.packages import open_package

    lake = Lake(folders.lake / "provider")
    target = folders.root / "passports"
    target.mkdir(parents=True, exist_ok=True)
    newest = {}
    for window in lake.windows(TABLE):
        for subject in subjects(lake, window):
            newest[subject.condition.battery_id] = window
    for battery_id, window in newest.items():
        name = slug(battery_id)
        package = folder_of(lake, window) / shard(name) / f"{name}.aasx"
        shutil.copy(package, target)
        (target / f"{name}.json").write_bytes(open_package(package).content)
    return len(newest)


def report_frames(folders: Folders) -> dict[str, pd.DataFrame]:
    """Return the tables of the report: ``conditions``, ``spectra``, ``predictions``, ``demands``."""
    import pandas as pd

    lake = Lake(folders.lake / "provider")
    predictions = folders.lake / "consumer" / "predictions" / "predictions.jsonl"
    columns = ["battery_id", "for_time", "value", "lower", "upper"]
    predicted = pd.DataFrame(
        list(read_lines(predictions)) if predictions.exists() else [], columns=[*columns, "trained_on"]
    )
    predicted["for_time"] = pd.to_datetime(predicted["for_time"], utc=True)
    return {
        "conditions": _conditions(lake),
        "spectra": _spectra(lake),
        "predictions": predicted,
        "demands": _demands(lake),
    }


def _conditions(lake: Lake) -> pd.DataFrame:
    import pandas as pd

    rows = [_condition(subject) for window in lake.windows(TABLE) for subject in subjects(lake, window)]
    names = [
        "battery_id",
        "as_of",
        "remaining_capacity_ah",
        "rated_capacity_ah",
        "state_of_health_percent",
        "full_equivalent_cycles",
    ]
    return pd.DataFrame(rows, columns=names)


def _demands(lake: Lake) -> pd.DataFrame:
    """Compare the newest condition of every battery with what its category must state."""
    import pandas as pd

    from battery_pilot.electrochemistry.rules import Coverage, coverage

    newest = {
        subject.condition.battery_id: (subject.model.category, subject.condition)
        for window in lake.windows(TABLE)
        for subject in subjects(lake, window)
    }
    return pd.DataFrame(coverage(newest.values()), columns=Coverage._fields)


def _condition(subject: Any) -> dict[str, Any]:
    values = {name: one.value for name, one in subject.condition.values.items()}
    rated_ah = subject.model.rated_capacity_ah
    remaining_ah = values.get("remaining_capacity_ah")
    return {
        "battery_id": subject.condition.battery_id,
        "as_of": subject.condition.as_of,
        "remaining_capacity_ah": remaining_ah,
        "rated_capacity_ah": rated_ah,
        "state_of_health_percent": None if remaining_ah is None else 100 * remaining_ah / rated_ah,
        "full_equivalent_cycles": values.get("full_equivalent_cycles"),
    }


def _spectra(lake: Lake) -> pd.DataFrame:
    """Return the first and the last window's spectra: more lines would hide each other."""
    import pandas as pd
    import pyarrow.dataset as ds

    names = ["battery_id", "measured_at", "frequency_hertz", "real_impedance_ohm", "imaginary_impedance_ohm"]
    windows = lake.windows("measurements")
    folders = [lake.current("measurements", window) for window in dict.fromkeys([*windows[:1], *windows[-1:]])]
    tables = [
        ds.dataset(folder, format="parquet", partitioning="hive")
        .to_table(columns=names, filter=ds.field("kind") == "impedance")
        .to_pandas()
        for folder in folders
        if folder is not None
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=names)
