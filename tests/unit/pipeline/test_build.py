from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from battery_pilot.electrochemistry.aggregates import AGGREGATE_COLUMNS, TOTALS
from battery_pilot.errors import BatteryPilotError, InputError, PassportError
from battery_pilot.lake import write_json
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.master import MasterData, write_master
from battery_pilot.passport.packages import open_package
from battery_pilot.passport.reading import read_file
from battery_pilot.pipeline import build as stage
from battery_pilot.pipeline.build import build, check_rejects, quarantine_file
from battery_pilot.pipeline.subjects import TABLE, passports, subjects

BATTERIES = ("BP-1", "BP-2", "Cell/7 ä")


@pytest.fixture
def master(tmp_path, model, item_of):
    write_master(
        tmp_path / "master", MasterData({model.model_id: model}, {name: item_of(name) for name in BATTERIES})
    )
    return tmp_path / "master"


@pytest.fixture
def process(lake):
    """Leave in the lake what the process stage leaves of some batteries."""

    def write(window, *battery_ids):
        as_of = window.start.replace(day=20)
        rows = [
            dict.fromkeys(AGGREGATE_COLUMNS)
            | dict.fromkeys(TOTALS, 12.0)
            | {
                "battery_id": battery_id,
                "as_of": as_of,
                "cycles_as_of": as_of,
                "source_sha256": ["b" * 64],
                "capacity_ah": 4.5 + number / 10,
                "capacity_wh": 16.0,
                "capacity_measurements": 1,
                "capacity_as_of": as_of,
                "capacity_source_sha256": ["b" * 64],
                "spectra": 0,
            }
            for number, battery_id in enumerate(battery_ids)
        ]
        staged = lake.staging()
        pq.write_table(pa.Table.from_pylist(rows), staged / "part-0.parquet")
        lake.publish("aggregates", window, staged)

    return write


@pytest.fixture
def count_files(lake, january):
    def write(read, rejected):
        staged = lake.staging()
        write_json(staged / "counts.json", {"files_read": read, "files_rejected": rejected})
        lake.publish("files", january, staged)

    return write


def content_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_battery_gets_a_package_that_holds_its_passport_and_no_second_copy_of_it(
    lake, master, process, january, base
):
    process(january, *BATTERIES)
    counts = build(lake, master, january, base)
    assert (counts["batteries"], counts["passports"], counts["incomplete"]) == (3, 3, 3)
    assert 0 < counts["complete_percent"] < 100
    packages = {read_file(path).battery_id: path for path in lake.current(TABLE, january).rglob("*.aasx")}
    assert set(packages) == set(BATTERIES)
    for passport in passports(lake, january, base):
        assert open_package(packages[passport.battery_id]).content == canonical_json(passport)
    others = {path.name for path in lake.current(TABLE, january).rglob("*.*")} - {
        one.name for one in packages.values()
    }
    assert others == {"subjects.jsonl", "models.jsonl"}


def test_a_second_build_gives_the_same_bytes(lake, master, process, january, base):
    process(january, *BATTERIES)
    contents = []
    for _ in range(2):
        build(lake, master, january, base)
        contents.append(content_of(lake.current(TABLE, january)))
    assert contents[0] == contents[1]
    assert len(contents[0]) == 5


def test_several_processes_write_the_same_bytes_as_one(lake, master, process, january, base, monkeypatch):
    process(january, *BATTERIES)
    build(lake, master, january, base, workers=2)
    alone = content_of(lake.current(TABLE, january))

    started = []

    def together(staged, lake, base_iri, workers, count, original=stage._write_in_processes):
        started.append((workers, count))
        return original(staged, lake, base_iri, workers, count)

    monkeypatch.setattr(stage, "SMALL_FLEET", 2)
    monkeypatch.setattr(stage, "_write_in_processes", together)
    build(lake, master, january, base, workers=2)
    assert started == [(2, 3)]
    assert content_of(lake.current(TABLE, january)) == alone


def test_later_stages_see_the_passports_that_were_built(lake, master, process, january, base):
    process(january, *BATTERIES)
    build(lake, master, january, base)
    assert [subject.item.battery_id for subject in subjects(lake, january)] == list(BATTERIES)
    assert [passport.battery_id for passport in passports(lake, january, base)] == list(BATTERIES)


def test_a_new_build_leaves_nothing_of_the_old_one(lake, master, process, january, base):
    process(january, *BATTERIES)
    build(lake, master, january, base)
    process(january, "BP-1")
    build(lake, master, january, base)
    assert len(content_of(lake.current(TABLE, january))) == 3


def test_a_failing_build_keeps_the_former_passports_and_no_litter(lake, master, process, january, base):
    process(january, *BATTERIES)
    build(lake, master, january, base)
    before = content_of(lake.current(TABLE, january))
    process(january, "BP-1", "BP-9")
    with pytest.raises(InputError, match=r"^battery BP-9 was processed but is not in the master data any more$"):
        build(lake, master, january, base)
    assert content_of(lake.current(TABLE, january)) == before
    assert list((lake.root / "_staging").iterdir()) == []


def test_an_error_in_a_process_keeps_its_kind_and_its_words(lake, master, process, january, monkeypatch):
    process(january, *BATTERIES)
    monkeypatch.setattr(stage, "SMALL_FLEET", 2)
    with pytest.raises(BatteryPilotError, match="identifier base 'nowhere' is no absolute IRI"):
        build(lake, master, january, "nowhere", workers=2)


def test_an_error_in_one_passport_names_its_battery(lake, january, stage_subjects, subject_of, base):
    good = subject_of("BP-1", january.start)
    bad = good.model_copy(update={"item": good.item.model_copy(update={"city": "Ber\x00lin"})})
    stage_subjects(lake, january, bad)
    with pytest.raises(PassportError, match=r"^battery BP-1: (?!battery BP-1)"):
        list(passports(lake, january, base))


def test_every_process_parses_only_its_own_subjects(lake, january, stage_subjects, subject_of, base, monkeypatch):
    stage_subjects(lake, january, *(subject_of(name, january.start) for name in BATTERIES))
    parsed = []

    def parse(line, original=stage.Subject.model_validate_json):
        parsed.append(original(line).item.battery_id)
        return original(line)

    monkeypatch.setattr(stage.Subject, "model_validate_json", parse)
    stage._write(lake.current(TABLE, january), lake, base, 1, 2)
    assert parsed == ["BP-2"]


def test_a_window_that_was_not_processed_is_one_sentence(lake, master, january, base):
    with pytest.raises(InputError, match=f"window {january.key} has no aggregates .*: run the process stage first"):
        build(lake, master, january, base)


def test_a_window_that_was_not_built_is_one_sentence(lake, january, base):
    with pytest.raises(InputError, match=f"window {january.key} has no passports .*: run the build stage first"):
        list(passports(lake, january, base))


@pytest.mark.parametrize(("read", "rejected"), [(100, 0), (100, 20), (5, 1), (0, 0)])
def test_rejects_up_to_the_threshold_pass(lake, january, count_files, read, rejected):
    count_files(read, rejected)
    assert check_rejects(lake, january, 20) == {"files_read": read, "files_rejected": rejected}


@pytest.mark.parametrize(("read", "rejected", "threshold"), [(100, 21, 20), (1000, 1, 0), (3, 3, 99.9)])
def test_rejects_above_the_threshold_fail_and_lead_to_the_reasons(
    lake, january, count_files, read, rejected, threshold
):
    count_files(read, rejected)
    with pytest.raises(InputError, match=f"^{rejected} of {read} files were rejected, more than") as error:
        check_rejects(lake, january, threshold)
    assert str(quarantine_file(lake, january)) in str(error.value)


def test_rejects_of_a_window_that_was_not_processed_are_one_sentence(lake, january):
    with pytest.raises(InputError, match="has no processed files .*: run the process stage first"):
        check_rejects(lake, january, 20)


def test_parts_that_were_written_apart_join_to_the_same_files(lake, master, process, january, base):
    process(january, *BATTERIES)
    build(lake, master, january, base)
    alone = content_of(lake.current(TABLE, january))

    def make(staged):
        _, count = stage.stage_wanted(lake, master, january, base, set(BATTERIES), staged)
        assert count == 3
        found = list(subjects(lake, january))
        made = [
            stage.write_part(found[2:], lake, base, staged, "00000001"),
            stage.write_part(found[:2], lake, base, staged, "00000000"),
        ]
        stage.join_parts(staged)
        return stage.Made(sum(one.passports for one in made), made[0].tally + made[1].tally)

    counts = stage.publish_passports(lake, january, make)
    assert content_of(lake.current(TABLE, january)) == alone
    assert counts["passports"] == counts["incomplete"] == 3


def test_measured_batteries_are_counted_without_reading_them(lake, process, january):
    process(january, *BATTERIES)
    assert stage.count_measured(lake, january) == 3
