"""Signatures over the end of a history: JSON Web Signatures (RFC 7515) with Ed25519 keys (RFC 8037).

A chain of hashes cannot show who wrote it, nor that its newest entries were withheld. A signed head does: it says which
entry was the last one of a battery at a time, and whoever knows the provider's key can check it. The public keys are given
away as a JSON Web Key Set (RFC 7517); a key's id is its thumbprint (RFC 7638).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import AwareDatetime, Field

from battery_pilot.electrochemistry.condition import Frozen, Sha256
from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.lexical import utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from battery_pilot.passport.chain import DisclosedEntry

ALGORITHM = "EdDSA"
TYPE = "battery-pilot-history-head+jws"
MAXIMUM_BYTES = 4096
"""Longer texts are no signed head."""

Keys = dict[str, Ed25519PublicKey]
"""Verification keys by their id."""


class SignedHead(Frozen):
    """What a signature says.

    :param battery_id: which battery.
    :param version: its last entry when it was signed.
    :param entry_hash: hash of that entry.
    :param signed_at: when it was signed.
    """

    battery_id: str
    version: int = Field(ge=1)
    entry_hash: Sha256
    signed_at: AwareDatetime


@dataclass(frozen=True)
class Signer:
    """A private key with its id. It is never written anywhere."""

    key_id: str
    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"

    def sign(self, head: DisclosedEntry, signed_at: datetime) -> str:
        """Return the compact JWS that says that an entry is a battery's last one.

        :param head: the entry.
        :param signed_at: now, with a time zone.
        """
        statement: dict[str, str | int] = {
            "battery_id": head.battery_id,
            "version": head.version,
            "entry_hash": head.entry_hash,
            "signed_at": utc_text(signed_at),
        }
        return jwt.PyJWS().encode(
            canonical(statement), self._private, ALGORITHM, headers={"kid": self.key_id, "typ": TYPE}
        )

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set, for all who want to verify."""
        return {"keys": [{**_jwk(self._private.public_key()), "kid": self.key_id, "use": "sig", "alg": ALGORITHM}]}


def read_signer(pem: bytes) -> Signer:
    """Return the signer of an unencrypted private key, as ``openssl genpkey -algorithm ed25519`` writes it.

    :param pem: content of the key file.
    :raises InputError: it is no such key; the message never quotes it.
    """
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(
            "the signing key is no unencrypted Ed25519 key in PEM form: make one with "
            "`openssl genpkey -algorithm ed25519 -out key.pem`"
        )
    return Signer(_thumbprint(private.public_key()), private)


def read_keys(key_set: bytes) -> Keys:
    """Return the Ed25519 keys of a JSON Web Key Set by their ids; keys of other kinds are left out.

    :param key_set: the set as JSON.
    :raises InputError: it is no key set, or holds no usable key.
    """
    keys: Keys = {}
    try:
        for one in json.loads(key_set)["keys"]:
            if one.get("kty") == "OKP" and one.get("crv") == "Ed25519":
                key = Ed25519PublicKey.from_public_bytes(
                    base64.urlsafe_b64decode(one["x"] + "=" * (-len(one["x"]) % 4))
                )
                keys[_thumbprint(key)] = key
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the key set is no JSON Web Key Set: {type(error).__name__}: {error}") from error
    if not keys:
        raise InputError("the key set holds no Ed25519 key (kty OKP, crv Ed25519)")
    return keys


def verify_signature(token: str, keys: Mapping[str, Ed25519PublicKey]) -> SignedHead:
    """Return what a compact JWS says, if one of the keys signed it.

    :param token: the JWS.
    :param keys: the keys that are trusted; where they came from with the token, they prove nothing.
    :raises PassportError: it is not well-formed, of another kind, or none of the keys signed it.
    """
    if len(token) > MAXIMUM_BYTES:
        raise PassportError(f"signature: {len(token)} characters, at most {MAXIMUM_BYTES} are accepted")
    try:
        header = jwt.get_unverified_header(token)
        key = keys.get(str(header.get("kid")))
        if header.get("typ") != TYPE:
            raise PassportError(f"signature: it is of type {header.get('typ')!r}, expected {TYPE!r}")
        if key is None:
            raise PassportError(f"signature: its key {header.get('kid')!r} is none of the trusted ones")
        return SignedHead.model_validate_json(jwt.PyJWS().decode(token, key, algorithms=[ALGORITHM]))
    except (jwt.PyJWTError, ValueError) as error:
        raise PassportError(f"signature: not valid: {type(error).__name__}: {error}") from error


def check_head(signed: SignedHead, newest: DisclosedEntry) -> None:
    """Check that a chain ends where the signature says.

    :param signed: what the signature says.
    :param newest: the chain's last entry.
    :raises PassportError: they differ; where the chain is shorter, entries were withheld.
    """
    found = newest.battery_id, newest.version, newest.entry_hash
    if found == (signed.battery_id, signed.version, signed.entry_hash):
        return
    if newest.battery_id == signed.battery_id and newest.version < signed.version:
        raise PassportError(
            f"history of battery {newest.battery_id}: it ends with version {newest.version}, but version {signed.version} "
            f"was signed on {utc_text(signed.signed_at)}: entries were withheld; ask the provider for the whole history"
        )
    raise PassportError(
        f"history of battery {newest.battery_id}: the signature is for version {signed.version} of battery "
        f"{signed.battery_id} and not for the last entry, version {newest.version}"
    )


def _jwk(key: Ed25519PublicKey) -> dict[str, str]:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": base64.urlsafe_b64encode(raw).decode().rstrip("=")}


def _thumbprint(key: Ed25519PublicKey) -> str:
    digest = hashlib.sha256(canonical(_jwk(key))).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
