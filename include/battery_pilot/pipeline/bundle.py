"""What travels through the data space: a passport's view of one tier and the part of its history that goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.history import DisclosedEntry, HistoryEntry, current_entry, reconstruct, verify_chain
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier
from battery_pilot.passport.parsing import parse_json
from battery_pilot.passport.reading import ReadPassport, verified_passport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.signature import Keys

FORMAT = "battery-pilot-bundle/1"
MAXIMUM_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked.

    :param passport: the counterparty's passport.
    :param tier: the tier whose view it is.
    :param entries: the history that came with it, in order of record.
    :param signed_at: when a trusted key signed the end of the history; ``None`` where no keys were given to check it with.
    """

    passport: ReadPassport
    tier: Tier
    entries: tuple[DisclosedEntry, ...]
    signed_at: datetime | None = None

    def states(self) -> Iterator[tuple[DisclosedEntry, Mapping[str, Value]]]:
        """Yield every recorded state: its entry and its flat values."""
        return reconstruct(self.entries)


def make_bundle(view: bytes, entries: Iterable[HistoryEntry], tier: Tier, signature: str | None = None) -> bytes:
    """Return a bundle's bytes: canonical JSON, so that the same content always gives the same bytes.

    :param view: ``passport.view(tier)`` as canonical JSON; it is put in as it is.
    :param entries: the battery's whole history; only what the tier may see of it goes in.
    :param tier: access tier.
    :param signature: JWS over the end of the history.
    """
    history = canonical([entry.disclose(tier).model_dump(mode="json") for entry in entries])
    members = {"format": canonical(FORMAT), "history": history, "passport": view, "tier": canonical(tier.value)}
    if signature is not None:
        members["signature"] = canonical(signature)
    return b"{" + b",".join(canonical(name) + b":" + members[name] for name in sorted(members)) + b"}"


def read_bundle(data: bytes, keys: Keys | None = None) -> Bundle:
    """Check a bundle from a counterparty and return its content.

    Checked are: size, form, the passport's AAS (strictly), the chain of hashes, that the passport is the newest state
    that the chain commits to, and that all of it is of the tier that the bundle claims. With keys, a signature of one of
    them over the end of the chain is demanded too.

    :param keys: the provider's verification keys, which did not come with the bundle; ``None`` if none are known.
    :raises PassportError: naming what is wrong.
    """
    content = parse_json(data, maximum_bytes=MAXIMUM_BYTES)
    try:
        return _checked(content, keys)
    # Numbers beyond what canonical JSON can hold and times beyond the calendar come to light only in the checks.
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise PassportError(f"bundle: not of the form {FORMAT}: {type(error).__name__}: {error}") from error


def _checked(content: dict[str, Any], keys: Keys | None) -> Bundle:
    if content["format"] != FORMAT:
        raise PassportError(f"bundle: format {content['format']!r}, expected {FORMAT!r}")
    tier = Tier(content["tier"])
    entries = tuple(DisclosedEntry.model_validate(entry) for entry in content["history"])
    if not isinstance(content["passport"], dict):
        raise PassportError(f"bundle: passport: a JSON object was expected, not {type(content['passport']).__name__}")
    passport = verified_passport(content["passport"])
    verify_chain(entries, tier)
    _check_current(passport, entries, tier)
    return Bundle(
        passport, tier, entries, None if keys is None else _signed_at(content.get("signature"), entries, keys)
    )


def _signed_at(token: Any, entries: tuple[DisclosedEntry, ...], keys: Keys) -> datetime:
    """Return when a trusted key signed the end of the chain.

    :raises PassportError: none did.
    """
    from battery_pilot.passport.signature import check_head, verify_signature

    if not isinstance(token, str):
        raise PassportError(
            f"bundle of battery {entries[-1].battery_id}: it carries no signature, but keys of its provider are set"
        )
    signed = verify_signature(token, keys)
    check_head(signed, entries[-1])
    return signed.signed_at


def _check_current(passport: ReadPassport, entries: tuple[DisclosedEntry, ...], tier: Tier) -> None:
    newest = current_entry(entries)
    if newest is None:
        raise PassportError(
            f"bundle of battery {passport.battery_id}: it carries no history to verify the passport against"
        )
    foreign = {entry.battery_id for entry in entries} - {passport.battery_id}
    if foreign:
        raise PassportError(
            f"bundle of battery {passport.battery_id}: its history is of {', '.join(sorted(foreign))}"
        )
    closed = {own for entry in entries for own in entry.seals if not is_visible(own, tier)}
    if closed:
        raise PassportError(
            f"bundle of battery {passport.battery_id}: it claims the tier {tier}, but its history discloses values of "
            f"{', '.join(sorted(closed))}"
        )
    if newest.view_sha256 != passport.sha256 or newest.as_of != passport.as_of:
        raise PassportError(
            f"bundle of battery {passport.battery_id}: the passport differs from version {newest.version} of its history"
        )
