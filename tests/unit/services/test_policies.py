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
    ELAPSED_TIME,
    NAME,
    PURPOSE,
    RECIPIENT,
    ROLE,
    Demands,
    constraints_of,
    demand_enforceable,
    expires_at,
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
