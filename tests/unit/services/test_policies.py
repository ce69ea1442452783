from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.passport.model import Tier
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.model import Constraint
from battery_pilot.services.connectors.policies import (
    COUNT,
    DATE_TIME,
    ELAPSED_TIME,
    NAME,
    PURPOSE,
    RECIPIENT,
    ROLE,
    Demands,
    constraints_of,
    demand_enforceable,
    expires_at,
    in_words_of,
    maximum_uses,
)

EVERYTHING = Demands(("authority-1", "authority-2"), ("recycler",), ("recycling",), 30, 5)


def test_public_tier_is_for_everybody():
    assert constraints_of(Tier.PUBLIC, EVERYTHING) == ()


def test_legitimate_interest_is_bound_to_role_purpose_time_and_count():
    assert constraints_of(Tier.LEGITIMATE_INTEREST, EVERYTHING) == (
        Constraint(ROLE, "eq", "recycler"),
        Constraint(PURPOSE, "eq", "recycling"),
        Constraint(ELAPSED_TIME, "lteq", "P30D"),
        Constraint(COUNT, "lteq", "5"),
    )


def test_authority_tier_names_its_parties():
    assert constraints_of(Tier.AUTHORITY, EVERYTHING)[0] == Constraint(
        RECIPIENT, "isAnyOf", "authority-1,authority-2"
    )
    with pytest.raises(InputError, match="named participants only"):
        constraints_of(Tier.AUTHORITY, Demands(roles=("authority",)))


@pytest.mark.parametrize("name", ["", "two words", "a,b", 'quo"te', "x" * 201])
def test_name_that_no_policy_can_carry_is_refused(name):
    with pytest.raises(InputError, match="no participant, role or purpose"):
        Demands(roles=(name,))


@pytest.mark.parametrize("number", [0, -1])
def test_limit_must_be_at_least_one(number):
    with pytest.raises(InputError, match="1 or more"):
        Demands(valid_days=number)
    with pytest.raises(InputError, match="1 or more"):
        Demands(maximum_uses=number)


def test_what_a_connector_does_not_check_must_not_be_offered():
    with pytest.raises(InputError, match="does not check count"):
        demand_enforceable(constraints_of(Tier.LEGITIMATE_INTEREST, EVERYTHING), EdcConnector.enforced_operands)


@given(st.lists(st.from_regex(NAME, fullmatch=True), min_size=1, max_size=5))
def test_every_name_is_found_again_in_the_constraint(names):
    (constraint,) = constraints_of(Tier.LEGITIMATE_INTEREST, Demands(roles=tuple(names)))
    assert set(constraint.right_operand.split(",")) == set(names)
    assert (constraint.operator == "eq") == (len(set(names)) == 1)


SIGNED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def agreed(*constraints):
    return {"odrl:permission": {"odrl:constraint": [dict(zip(KEYS, one, strict=True)) for one in constraints]}}


KEYS = ("odrl:leftOperand", "odrl:operator", "odrl:rightOperand")


@pytest.mark.parametrize(
    ("constraint", "days"),
    [
        (("edc:inForceDate", {"@id": "odrl:lteq"}, "contractAgreement+30d"), 30),
        ((ELAPSED_TIME, "lteq", "P30D"), 30),
        ((ELAPSED_TIME, "lt", "PT48H"), 2),
        (("inForceDate", "lteq", "2026-01-11T00:00:00Z"), 10),
        (("dateTime", "lteq", "2026-01-11"), 10),
        (("inForceDate", "gteq", "2020-01-01T00:00:00Z"), None),
        (("inForceDate", "lteq", "some day"), None),
        (("purpose", "eq", "recycling"), None),
    ],
)
def test_end_of_use_is_read_from_an_agreement(constraint, days):
    end = None if days is None else SIGNED_AT + timedelta(days=days)
    assert expires_at(agreed(constraint), SIGNED_AT) == end


def test_earliest_of_several_ends_counts():
    policy = agreed((ELAPSED_TIME, "lteq", "P30D"), ("inForceDate", "lteq", "contractAgreement+2h"))
    assert expires_at(policy, SIGNED_AT) == SIGNED_AT + timedelta(hours=2)


def test_agreement_without_rules_has_no_end():
    assert expires_at({}, SIGNED_AT) is None


@pytest.mark.parametrize(
    ("constraint", "most"),
    [
        ((COUNT, "lteq", "5"), 5),
        (("odrl:count", "odrl:lt", "5"), 4),
        (("COUNT", "LTEQ", "3"), 3),
        ((COUNT, "gteq", "5"), None),
        ((COUNT, "lteq", "many"), None),
        ((ELAPSED_TIME, "lteq", "5"), None),
    ],
)
def test_number_of_uses_is_read_from_an_agreement(constraint, most):
    assert maximum_uses(agreed(constraint)) == most
    assert maximum_uses({}) is None


NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "end"), [(365, "2027-12-01T00:00:00Z"), (8, "2026-12-01T00:00:00Z"), (9, "2027-01-01T00:00:00Z")]
)
def test_a_connector_that_knows_dates_alone_gets_the_end_of_a_month(days, end):
    asked = constraints_of(Tier.LEGITIMATE_INTEREST, Demands(purposes=("reuse",), valid_days=days))
    dated = in_words_of(asked, {DATE_TIME, PURPOSE}, NOW)
    assert dated == (Constraint(PURPOSE, "eq", "reuse"), Constraint(DATE_TIME, "lteq", end))
    assert expires_at(agreed((DATE_TIME, "lteq", end)), NOW) >= NOW + timedelta(days=days)
    demand_enforceable(dated, {DATE_TIME, PURPOSE})


@pytest.mark.parametrize("enforced", [{ELAPSED_TIME, DATE_TIME}, {ELAPSED_TIME}, set()])
def test_other_connectors_get_the_time_after_the_agreement(enforced):
    asked = constraints_of(Tier.LEGITIMATE_INTEREST, Demands(valid_days=30))
    assert in_words_of(asked, enforced, NOW) == asked


@given(st.integers(1, 3000), st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
def test_the_date_is_never_too_early_and_never_a_month_late(days, now):
    (one,) = in_words_of(constraints_of(Tier.LEGITIMATE_INTEREST, Demands(valid_days=days)), {DATE_TIME}, now)
    end = datetime.fromisoformat(one.right_operand)
    assert timedelta() < end - (now + timedelta(days=days)) <= timedelta(days=31)


def test_a_number_of_days_beyond_the_calendar_is_refused():
    with pytest.raises(InputError, match="beyond the calendar"):
        in_words_of(constraints_of(Tier.LEGITIMATE_INTEREST, Demands(valid_days=10**9)), {DATE_TIME}, NOW)
