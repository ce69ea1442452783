"""Signal definitions and bit extraction, against cantools as an independent program."""

from __future__ import annotations

import math

import cantools.database
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.measurements.field.dbc import (
    EXTENDED,
    belongs,
    bytes_needed,
    is_available,
    parse_dbc,
    present,
    values,
)

SCALES = st.sampled_from(["1", "0.1", "-0.5", "0.0009765625", "1E-3", "2.5e+2"])


@st.composite
def databases(draw: st.DrawFn) -> str:
    """Return a database of one message with one signal that fits into it."""
    length = draw(st.integers(1, 64))
    message_bytes = draw(st.integers((length + 7) // 8, 16))
    is_intel = draw(st.booleans())
    lowest = draw(st.integers(0, 8 * message_bytes - length))
    # Motorola order names the highest bit, and counts bits downwards within a byte but bytes upwards.
    first = lowest if is_intel else lowest // 8 * 8 + 7 - lowest % 8
    kind = "float" if length in (32, 64) and draw(st.booleans()) else draw(st.sampled_from(["signed", "unsigned"]))
    sign = "+" if kind == "unsigned" else "-"
    scale, offset = draw(SCALES), draw(st.sampled_from(["0", "-40", "12.5"]))
    lines = [
        'VERSION ""',
        "BU_: Vector__XXX",
        f"BO_ {draw(st.integers(0, 0x7FF))} Battery: {message_bytes} Vector__XXX",
        f' SG_ Value : {first}|{length}@{int(is_intel)}{sign} ({scale},{offset}) [0|0] "V" Vector__XXX',
    ]
    number = lines[2].split()[1]
    if kind == "float":
        lines.append(f"SIG_VALTYPE_ {number} Value : {1 if length == 32 else 2};")
    return "\n".join(lines) + "\n"


@given(text=databases(), data=st.binary(min_size=16, max_size=16))
@settings(deadline=None, max_examples=300)
def test_a_value_is_the_one_that_cantools_decodes(text: str, data: bytes) -> None:
    message = cantools.database.load_string(text, "dbc").messages[0]
    expected = float(message.decode(data[: message.length])["Value"])
    signal = parse_dbc(text)["Battery.Value"]
    rows = np.frombuffer(data * 3, dtype=np.uint8).reshape(3, 16)
    assert bytes_needed(signal) <= message.length
    assert values(signal, rows).tolist() == pytest.approx([expected] * 3, rel=1e-12, nan_ok=True)


MULTIPLEXED = """
BO_ 100 Cells: 8 BMS
 SG_ Group M : 0|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Low m0 : 8|16@1+ (0.001,0) [0|0] "V" Vector__XXX
 SG_ High m1 : 8|16@1+ (0.001,0) [0|0] "V" Vector__XXX
 SG_ Inner m2M : 8|4@1+ (1,0) [0|0] "" Vector__XXX
 SG_ Deep m3 : 16|8@1+ (1,0) [0|0] "V" Vector__XXX
SG_MUL_VAL_ 100 Deep Inner 3-5, 9-9;
SG_MUL_VAL_ 100 Inner Group 2-2;
SG_MUL_VAL_ 100 Low Group 0-0;
SG_MUL_VAL_ 100 High Group 1-1;
"""


@given(data=st.binary(min_size=6, max_size=6), group=st.integers(0, 2), inner=st.sampled_from([3, 4, 5, 9]))
@settings(deadline=None)
def test_a_multiplexed_signal_is_present_where_cantools_decodes_it(data: bytes, group: int, inner: int) -> None:
    frame = bytes([group, inner]) + data
    expected = cantools.database.load_string(MULTIPLEXED, "dbc").messages[0].decode(frame, allow_truncated=True)
    signals = parse_dbc(MULTIPLEXED)
    row = np.frombuffer(frame, dtype=np.uint8)[None, :]
    for signal in signals.values():
        assert bool(present(signal, row, signals)[0]) == (signal.name in expected)


def test_with_an_unknown_value_of_the_multiplexer_its_signals_are_absent() -> None:
    signals = parse_dbc(MULTIPLEXED)
    row = np.array([[3, 0x13, 0, 0]], dtype=np.uint8)
    there = {signal.name for signal in signals.values() if present(signal, row, signals)[0]}
    assert there == {"Group"}


def test_plain_multiplexing_needs_no_table_of_values() -> None:
    text = "\n".join(line for line in MULTIPLEXED.splitlines() if "MUL_VAL" not in line and "Inner" not in line)
    signals = parse_dbc(text)
    rows = np.array([[0, 16, 39, 0], [1, 16, 39, 0]], dtype=np.uint8)
    assert present(signals["Cells.Low"], rows, signals).tolist() == [True, False]
    assert present(signals["Cells.High"], rows, signals).tolist() == [False, True]


J1939 = """
BO_ 2566844926 HVBatt: 8 BMS
 SG_ Volts : 0|16@1+ (0.05,0) [0|0] "V" Vector__XXX
BO_ 2364483572 Addressed: 8 BMS
 SG_ Amps : 0|8@1+ (1,0) [0|0] "A" Vector__XXX
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_ "VFrameFormat" BO_ 2566844926 3;
BA_ "VFrameFormat" BO_ 2364483572 3;
"""


def test_a_j1939_message_is_known_by_its_parameter_group() -> None:
    signals = parse_dbc(J1939)
    own = 2566844926 & 0x1FFFFFFF
    other_sender_and_priority = own & 0x03FFFF00 | 0x0C000042
    other_group = own + 0x100
    frames = np.array([own | EXTENDED, other_sender_and_priority | EXTENDED, other_group | EXTENDED, own], np.uint32)
    assert belongs(signals["HVBatt.Volts"], frames).tolist() == [True, True, False, False]


def test_the_destination_of_an_addressed_j1939_message_does_not_matter() -> None:
    signal = parse_dbc(J1939)["Addressed.Amps"]
    own = 2364483572 & 0x1FFFFFFF
    assert own >> 16 & 0xFF < 240  # formats below 240 have a destination
    frames = np.array([own ^ 0x3300, own ^ 0x10000], dtype=np.uint32) | np.uint32(EXTENDED)
    assert belongs(signal, frames).tolist() == [True, False]


def test_the_default_of_the_database_can_make_a_message_one_of_j1939() -> None:
    lines = [line for line in J1939.splitlines() if not line.startswith("BA_ ")]
    text = "\n".join([*lines, 'BA_DEF_DEF_ "VFrameFormat" "J1939PG";', 'BA_ "VFrameFormat" BO_ 2364483572 1;'])
    signals = parse_dbc(text)
    assert signals["HVBatt.Volts"].is_j1939
    assert not signals["Addressed.Amps"].is_j1939


def test_codes_of_j1939_for_not_available_are_no_values() -> None:
    signal = parse_dbc(J1939)["HVBatt.Volts"]
    rows = np.array([[0xFF, 0xFA, 0], [0x00, 0xFB, 0], [0xFF, 0xFF, 0]], dtype=np.uint8)
    assert is_available(signal, rows).tolist() == [True, False, False]


def test_another_message_has_another_identifier() -> None:
    signal = parse_dbc('BO_ 291 A: 8 X\n SG_ U : 0|8@1+ (1,0) [0|0] "V" X\n')["A.U"]
    assert belongs(signal, np.array([291, 292, 291 | EXTENDED], dtype=np.uint32)).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "line",
    [
        ' SG_ U : 0|0@1+ (1,0) [0|0] "V" X',
        ' SG_ U : 0|65@1+ (1,0) [0|0] "V" X',
        ' SG_ U : 510|8@1+ (1,0) [0|0] "V" X',
        ' SG_ U : 0|8@1+ (nan,0) [0|0] "V" X',
        ' SG_ U : 0|8@1+ (1e999,0) [0|0] "V" X',
    ],
)
def test_a_signal_that_cannot_be_in_a_frame_is_left_out(line: str) -> None:
    assert parse_dbc(f"BO_ 1 A: 8 X\n{line}\n") == {}


@given(text=st.text(max_size=300))
def test_any_text_is_a_database_perhaps_without_signals(text: str) -> None:
    for signal in parse_dbc("BO_ 1 A: 8 X\n" + text).values():
        assert math.isfinite(signal.scale)


@given(
    position=st.integers(0, len(MULTIPLEXED + J1939) - 1), mark=st.sampled_from(["", "9" * 30, "|", "\n", "m", '"'])
)
def test_a_damaged_database_gives_signals_that_can_be_decoded(position: int, mark: str) -> None:
    whole = MULTIPLEXED + J1939
    signals = parse_dbc(whole[:position] + mark + whole[position + 1 :])
    rows = np.zeros((2, 64), dtype=np.uint8)
    for signal in signals.values():
        assert len(values(signal, rows)) == len(present(signal, rows, signals)) == 2
