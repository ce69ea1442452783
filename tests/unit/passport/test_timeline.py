from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import PassportError
from battery_pilot.passport.chain import HistoryEntry, Seal, difference, verify_chain
from battery_pilot.passport.model import Tier
from battery_pilot.passport.timeline import health_timeline, said, versions

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PATHS = {"remaining_capacity_ah": "P.remaining", "rated_capacity_ah": "P.rated"}


def chain_of(*states):
    """Entries of (as_of day, known_until day, recorded day, capacity), in the order of recording."""
    entries, values = [], {}
    for number, (as_of, known, recorded, capacity) in enumerate(states):
        after = {"P.rated": 5.0} | ({} if capacity is None else {"P.remaining": capacity})
        seals = {
            tier: Seal(
                salt="0" * 32,
                view_sha256="0" * 64,
                changes=difference(values, after) if tier is Tier.LEGITIMATE_INTEREST else {},
            )
            for tier in Tier
        }
        draft = HistoryEntry(
            battery_id="B", version=number + 1, as_of=START + as_of * DAY, known_until=START + known * DAY,
            recorded_at=START + recorded * DAY, run="r", seals=seals,
            commitments={tier: seal.commitment() for tier, seal in seals.items()},
            previous_hash=entries[-1].entry_hash if entries else None, entry_hash="0" * 64,
        )  # fmt: skip
        entries.append(draft.model_copy(update={"entry_hash": draft.computed_hash()}))
        values = after
    return entries


# January, March, and then January again: a file of January came late and says less.
LATE = chain_of((20, 31, 32, 4.8), (80, 90, 91, 4.6), (20, 90, 95, 4.7))


def test_health_is_told_by_time_and_not_by_the_order_of_recording():
    assert [(one.as_of, one.version, one.state_of_health_percent) for one in health_timeline(LATE, PATHS)] == [
        (START + 20 * DAY, 3, pytest.approx(94)),
        (START + 80 * DAY, 2, pytest.approx(92)),
    ]


def test_a_version_without_measurements_has_no_state_of_health():
    (first, second) = health_timeline(chain_of((0, 1, 1, None), (20, 31, 32, 4.8)), PATHS)
    assert (first.state_of_health_percent, first.values) == (None, {"rated_capacity_ah": 5.0})
    assert second.state_of_health_percent == pytest.approx(96)


def test_versions_tell_their_changes_and_which_is_current():
    assert [(one.version, one.is_current, one.changes.get("P.remaining")) for one in versions(LATE)] == [
        (1, False, (None, 4.8)),
        (2, True, (4.8, 4.6)),
        (3, False, (4.6, 4.7)),
    ]


@pytest.mark.parametrize(
    ("recorded", "about", "version"),
    [
        (None, None, 2),
        (94, None, 2),
        (50, None, 1),
        (94, 30, 1),  # on day 94 we said 4.8 Ah about day 30 …
        (95, 30, 3),  # … and on day 95 we had learned that it was 4.7 Ah
        (None, 79, 3),
        (None, 80, 2),
        (31, None, None),
        (None, 19, None),
    ],
)
def test_what_was_said_on_one_day_about_another(recorded, about, version):
    found = said(
        LATE,
        recorded_by=None if recorded is None else START + recorded * DAY,
        about=None if about is None else START + about * DAY,
    )
    assert (found and found[0].version) == version
    if found:
        assert found[1]["P.remaining"] == {1: 4.8, 2: 4.6, 3: 4.7}[version]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(1, 5)), min_size=1, max_size=12),
    st.integers(0, 12),
)
def test_what_was_said_never_changes_afterwards(states, day):
    """The answer about the past is the same whatever is recorded later."""
    chain = chain_of(*((as_of, known, number, capacity) for number, (as_of, known, capacity) in enumerate(states)))
    by = START + day * DAY
    then = said([entry for entry in chain if entry.recorded_at <= by])
    assert said(chain, recorded_by=by) == then


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_removed_or_reordered_version_is_detected(data):
    states = data.draw(st.lists(st.tuples(st.integers(0, 9), st.floats(1, 5)), min_size=2, max_size=8))
    chain = chain_of(*((as_of, 9, number, capacity) for number, (as_of, capacity) in enumerate(states)))
    verify_chain(chain, Tier.AUTHORITY)
    place = data.draw(st.integers(0, len(chain) - 1))
    kind = data.draw(st.sampled_from(["changed", "removed", "reordered", "doubled"]))
    forged = list(chain)
    if kind == "changed":
        field = data.draw(st.sampled_from(["as_of", "known_until", "recorded_at"]))
        forged[place] = chain[place].model_copy(update={field: getattr(chain[place], field) + DAY})
    elif kind == "doubled":
        forged.insert(place, chain[place])
    elif kind == "removed":
        # Without the last one what is left is a whole chain: that is what signed heads are for.
        del forged[min(place, len(chain) - 2)]
    else:
        random.Random(place).shuffle(forged)
        if forged == chain:
            return
    with pytest.raises(PassportError, match="history of battery B, version"):
        verify_chain(forged, Tier.AUTHORITY)
