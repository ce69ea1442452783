"""What differs between the versions of EDC's management API.

v3 writes compacted JSON-LD: prefixed terms, single things as objects. v4 has a context of its own, wants an ``@type`` on
every document and answers with bare terms and arrays. Releases call v4 ``v4beta`` until it was declared stable
(met: ``v3`` and ``v4beta`` of 0.15.1, ``v3`` of 0.14.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from battery_pilot.errors import InputError

EDC = "https://w3id.org/edc/v0.0.1/ns/"
ODRL = "http://www.w3.org/ns/odrl/2/"
CONTEXT = {"@vocab": EDC}
CONTEXT_WITH_ODRL = {"@vocab": EDC, "edc": EDC, "odrl": ODRL}
ODRL_CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
MANAGEMENT_CONTEXT = ["https://w3id.org/edc/connector/management/v2"]


@dataclass(frozen=True)
class Profile:
    """One version of the management API.

    :param path: its part of the address, below the management API's base.
    :param context: the ``@context`` of documents.
    :param policy_context: that of documents with a policy in them.
    :param inner_context: that of the policy itself, where it needs one.
    :param is_verbatim: whether an offer may be sent back in the words of the catalogue.
    """

    path: str
    context: Any
    policy_context: Any
    inner_context: str | None
    is_verbatim: bool


V3 = Profile("v3", CONTEXT, CONTEXT_WITH_ODRL, ODRL_CONTEXT, is_verbatim=False)
V4_BETA = Profile("v4beta", MANAGEMENT_CONTEXT, MANAGEMENT_CONTEXT, None, is_verbatim=True)
V4 = Profile("v4", MANAGEMENT_CONTEXT, MANAGEMENT_CONTEXT, None, is_verbatim=True)
PROFILES = {profile.path: profile for profile in (V3, V4_BETA, V4)}


def profile_of(name: str) -> Profile:
    """Return a version by its name.

    :raises InputError: there is none of that name.
    """
    if name not in PROFILES:
        raise InputError(f"management API {name!r} is not known, expected one of {', '.join(PROFILES)}")
    return PROFILES[name]
