"""What we write passes IDTA's own test program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport

engines = pytest.importorskip("aas_test_engines.file", reason="aas_test_engines is not installed; pip install it")


@pytest.mark.parametrize("tier", list(Tier))
def test_every_view_passes_the_public_test_engines(full_passport: Passport, tier: Tier) -> None:
    result = engines.check_json_data(json.loads(canonical_json(full_passport.view(tier))))
    assert result.ok(), "\n".join(result.to_lines())


def test_the_public_test_engines_would_say_so_if_it_were_wrong(full_passport: Passport) -> None:
    content = json.loads(canonical_json(full_passport))
    content["submodels"][0]["idShort"] = "1 wrong"
    assert not engines.check_json_data(content).ok()
