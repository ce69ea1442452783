"""How fast passports of a fleet are built, validated and packed, in CPU time of one process; medians.

``python tests/benchmarks/passports.py [COUNT]`` prints one JSON object; :mod:`tests.benchmarks.run` takes :func:`lines`. The BaSyx SDK is measured on the same passports:
objects (read strictly from JSON) and JSON encoder.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from basyx.aas.adapter.json import object_store_to_json

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.aas import to_store
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.documents import Attachment, Document
from battery_pilot.passport.facts import CarbonFootprint, HazardousSubstance, Material, ModelFacts, RecycledContent
from battery_pilot.passport.model import BatteryItem, BatteryModel
from battery_pilot.passport.parsing import parse_json
from battery_pilot.passport.reading import ReadEnvironment
from battery_pilot.passport.validation import validate

SAMPLE = 50
"""Passports that are validated, packed and made by way of the SDK."""

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = BatteryModel(
    model_id="M1", manufacturer_name="Cellworks GmbH", manufacturer_id="DE-CW-001", category="ev", mass_kilogram=230.5,
    warranty_months=96, nominal_voltage_volt=360, minimum_voltage_volt=270, maximum_voltage_volt=410,
    rated_capacity_ah=60, certified_energy_kwh=18.8, initial_round_trip_efficiency_percent=96,
    round_trip_efficiency_at_half_life_percent=94, initial_self_discharge_percent_per_month=2,
    initial_cell_resistance_ohm=0.0011, initial_pack_resistance_ohm=0.1, maximum_power_watt=125000,
    original_power_watt_at_80_percent_soc=120000, original_power_watt_at_20_percent_soc=90000,
    idle_temperature_minimum_celsius=-20, idle_temperature_maximum_celsius=45, expected_lifetime_years=12,
    expected_cycles=1500, exhaustion_threshold_percent=70, cycle_life_test_c_rate=0.5,
)  # fmt: skip


def run(count: int = 200) -> dict[str, float]:
    """Measure everything on a fleet.

    :param count: number of batteries.
    :return: name with its unit to value.
    """
    facts = _facts()
    built, canonical, texts, sample = [], [], [], []
    for number in range(count):  # one after the other, as the pipeline writes them
        (passport,), built_ms = _each([number], lambda one: _passport(one, facts))
        (text,), canonical_ms = _each([passport], canonical_json)
        built.append(built_ms)
        canonical.append(canonical_ms)
        if number < SAMPLE:
            sample.append(passport)
            texts.append(text)
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    built_ms, canonical_ms = statistics.median(built), statistics.median(canonical)
    stores, objects_ms = _each(sample, to_store)
    _, encoded_ms = _each(stores, object_store_to_json)
    del sample, stores  # a batch reads file by file and holds no others
    gc.collect()
    findings, validated_ms = _each(texts, lambda text: validate(ReadEnvironment(parse_json(text))))
    errors = sum(one.severity == "error" for found in findings for one in found)
    return {
        "passport_bytes": float(len(texts[0])),
        "build_milliseconds": built_ms,
        "canonical_json_milliseconds": canonical_ms,
        "basyx_objects_and_encoder_milliseconds": objects_ms + encoded_ms,
        "times_faster_than_basyx": (objects_ms + encoded_ms) / (built_ms + canonical_ms),
        "validation_milliseconds": validated_ms,
        "validation_errors": float(errors),
        "peak_megabytes_of_building": rss_mb,
        "aasx_packages_per_second": _packages_per_second(SAMPLE),
    }


def _each(inputs: Iterable[Any], work: Callable[[Any], Any]) -> tuple[list[Any], float]:
    """Return the results and the median CPU time in milliseconds."""
    results, times = [], []
    for one in inputs:
        started = time.process_time()
        results.append(work(one))
        times.append(1000 * (time.process_time() - started))
    return results, statistics.median(times)


def _packages_per_second(count: int) -> float:
    """Write packages with three files of 50 kB that cannot be compressed further."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = _facts(_documents(folder))
        passports = [_passport(number, facts) for number in range(count)]
        started = time.process_time()
        for number, passport in enumerate(passports):
            write_aasx(passport, folder / f"{number}.aasx", lambda file: folder / str(file.sha256))
        return count / (time.process_time() - started)


def _documents(folder: Path) -> tuple[Document, ...]:
    documents = []
    for number in range(3):
        content = b"".join(sha256(f"{number} {block}".encode()).digest() for block in range(1600))
        digest = sha256(content).hexdigest()
        (folder / digest).write_bytes(content)
        file = Attachment(
            name=f"{number}.pdf", content_type="application/pdf", sha256=digest, byte_count=len(content)
        )
        documents.append(
            Document(
                document_id=f"D{number}",
                model_id="M1",
                purpose="dismantling_manual",
                title=f"Manual {number}",
                attachment=file,
            )
        )
    return tuple(documents)


def _facts(documents: tuple[Document, ...] = ()) -> ModelFacts:
    of = {"model_id": "M1"}
    return ModelFacts(
        materials=tuple(
            Material(**of, material_name=f"Material {n}", cas_number="7439-93-2", component="Cathode", mass_kilogram=n + 1, is_critical=True)
            for n in range(8)
        ),
        hazardous_substances=(
            HazardousSubstance(**of, substance_name="LiPF6", cas_number="21324-40-3", concentration_percent=1.4),
        ),
        recycled_content=(RecycledContent(**of, material="Cobalt", pre_consumer_percent=6, post_consumer_percent=10),),
        carbon_footprint=(
            CarbonFootprint(**of, life_cycle_stages=("MainProduction",), footprint_kg_co2eq_per_kwh=61.0, calculation_methods=("ISO 14067",)),
        ),
        documents=documents,
    )  # fmt: skip


def _passport(number: int, facts: ModelFacts) -> Passport:
    item = BatteryItem(
        battery_id=f"PACK-{number}", model_id="M1", serial_number=f"CW-{number}", manufactured_on="2025-01-31",
        put_into_service_on="2025-03-02", facility_id="P1", street="Werkstrasse 1", zip_code="01067", city="Dresden",
        country_code="DE",
    )  # fmt: skip
    values = {
        metric: MeasuredValue(value=1 + index + number / 1000, as_of=AS_OF, method="benchmark", source_sha256=())
        for index, metric in enumerate(METRICS)
    }
    stated = {"remaining_capacity_ah": 54.0, "capacity_fade_percent": 10.0, "remaining_energy_kwh": 16.92, "state_of_certified_energy_percent": 90.0}  # fmt: skip
    values.update({metric: values[metric].model_copy(update={"value": value}) for metric, value in stated.items()})
    condition = Condition(battery_id=item.battery_id, as_of=AS_OF, values=values)
    return build_passport(MODEL, item, condition, base="https://example.com/dbp", facts=facts)


def lines(count: int = 1000) -> list[str]:
    """Measure in a process of its own and return lines of Markdown.

    :param count: number of batteries.
    """
    command = [sys.executable, str(Path(__file__)), str(count)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    built = found["build_milliseconds"] + found["canonical_json_milliseconds"]
    return [
        f"Passport to canonical JSON ({found['passport_bytes'] / 1000:.0f} kB), in a fleet of {count:,}: {built:.2f} ms "
        f"processor time each, {found['times_faster_than_basyx']:.1f} times as fast as objects and JSON encoder of the BaSyx "
        f"SDK (wanted at least 20); peak memory {found['peak_megabytes_of_building']:.0f} MB (wanted below 200).",
        f"Validation, all gates: {found['validation_milliseconds']:.1f} ms processor time each (wanted at most 15).",
        f"AASX packages with three files of 50 kB: {found['aasx_packages_per_second']:.0f} per second of processor time "
        "(wanted at least 100).",
    ]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 200), indent=2))
