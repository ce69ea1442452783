from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, read_json, read_lines, write_json, write_lines

JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


def staged(lake: Lake, text: str):
    folder = lake.staging()
    (folder / "data.txt").write_text(text)
    return folder


def test_a_partition_shows_what_was_published_last_and_nothing_else(tmp_path):
    lake = Lake(tmp_path)
    lake.publish("cycles", JANUARY, staged(lake, "old"))
    lake.publish("cycles", JANUARY, staged(lake, "new"))
    folder = lake.current("cycles", JANUARY)
    assert (folder / "data.txt").read_text() == "new"
    assert folder == lake.current("cycles", JANUARY)


def test_a_run_killed_before_the_pointer_moved_leaves_the_old_partition(tmp_path):
    lake = Lake(tmp_path)
    kept = lake.publish("cycles", JANUARY, staged(lake, "old"))
    staged(lake, "half").rename(kept.parent / "left-behind")
    assert lake.current("cycles", JANUARY) == kept
    lake.publish("cycles", JANUARY, staged(lake, "new"))
    assert not (kept.parent / "left-behind").exists()
    assert lake.current("cycles", JANUARY) != kept


def test_a_window_that_was_never_written_has_no_data(tmp_path):
    lake = Lake(tmp_path)
    assert lake.current("cycles", JANUARY) is None
    assert lake.windows("cycles") == []


def test_windows_come_in_order(tmp_path):
    lake = Lake(tmp_path)
    for window in (FEBRUARY, JANUARY):
        lake.publish("cycles", window, staged(lake, "x"))
    assert lake.windows("cycles") == [JANUARY, FEBRUARY]


def test_who_reads_the_former_content_may_finish(tmp_path):
    lake = Lake(tmp_path)
    read = lake.publish("cycles", JANUARY, staged(lake, "1"))
    lake.publish("cycles", JANUARY, staged(lake, "2"))
    assert (read / "data.txt").read_text() == "1"
    lake.publish("cycles", JANUARY, staged(lake, "3"))
    assert not read.exists()


def test_two_publishers_at_once_leave_one_whole_partition(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    lake = Lake(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: lake.publish("cycles", JANUARY, staged(lake, str(n))), range(20)))
    assert (lake.current("cycles", JANUARY) / "data.txt").is_file()


def test_an_empty_or_zoneless_window_is_refused():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InputError, match="is empty"):
        Window(now, now)
    with pytest.raises(InputError, match="time zone"):
        Window(now.replace(tzinfo=None), now)
    with pytest.raises(InputError, match="to the second"):
        Window(now, now.replace(microsecond=1))
    with pytest.raises(InputError, match="window key"):
        Window.parse("january")


@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)),
    st.integers(1, 10**8),
    st.integers(-14, 14),
)
def test_a_window_survives_its_key_in_any_time_zone(start, seconds, hours):
    begin = start.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    window = Window(begin, begin + timedelta(seconds=seconds))
    assert Window.parse(window.key) == window


def test_a_failed_write_leaves_the_former_file_and_no_litter(tmp_path):
    path = tmp_path / "records.jsonl"
    write_lines(path, [1, 2])

    def broken():
        yield 3
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_lines(path, broken())
    assert list(read_lines(path)) == [1, 2]
    assert [one.name for one in tmp_path.iterdir()] == ["records.jsonl"]


def test_json_refuses_numbers_that_json_does_not_have(tmp_path):
    write_json(tmp_path / "good.json", {"µ": 1})
    assert read_json(tmp_path / "good.json") == {"µ": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "bad.json", float("nan"))
