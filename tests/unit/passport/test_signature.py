from __future__ import annotations

import json
from datetime import UTC, datetime

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.history import HistoryEntry, Seal
from battery_pilot.passport.model import Tier
from battery_pilot.passport.signature import TYPE, check_head, read_keys, read_signer, verify_signature

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

RFC_8037_KEY = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
"""The key of RFC 8037, appendix A.1."""


def pem_of(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def entry(version, battery_id="B1"):
    seals = {tier: Seal(salt="0" * 32, view_sha256="0" * 64, changes={}) for tier in Tier}
    return HistoryEntry(
        battery_id=battery_id, version=version, as_of=NOW, known_until=NOW, recorded_at=NOW, run="r", seals=seals,
        commitments={tier: seal.commitment() for tier, seal in seals.items()}, previous_hash=None,
        entry_hash=f"{version:064x}",
    )  # fmt: skip


@pytest.fixture
def signer():
    return read_signer(RFC_8037_KEY)


@pytest.fixture
def keys(signer):
    return read_keys(json.dumps(signer.key_set()).encode())


def test_key_id_and_public_key_are_those_of_the_standard(signer):
    """RFC 8037, appendices A.2 and A.3."""
    (key,) = signer.key_set()["keys"]
    assert key["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert "d" not in key


def test_a_signed_head_can_be_verified_and_is_the_same_every_time(signer, keys):
    token = signer.sign(entry(3), NOW)
    assert token == signer.sign(entry(3), NOW)
    signed = verify_signature(token, keys)
    assert (signed.battery_id, signed.version, signed.signed_at) == ("B1", 3, NOW)
    check_head(signed, entry(3))


def test_withheld_entries_are_noticed(signer, keys):
    signed = verify_signature(signer.sign(entry(3), NOW), keys)
    with pytest.raises(PassportError, match="ends with version 2, but version 3 was signed on 2026-06-01T12:00:00Z"):
        check_head(signed, entry(2))


@pytest.mark.parametrize("other", [entry(4), entry(3, "B2"), entry(3).model_copy(update={"entry_hash": "f" * 64})])
def test_the_signature_of_another_entry_is_refused(signer, keys, other):
    with pytest.raises(PassportError, match="not for the last entry"):
        check_head(verify_signature(signer.sign(entry(3), NOW), keys), other)


def test_a_key_that_is_not_trusted_proves_nothing(signer):
    stranger = read_signer(pem_of(Ed25519PrivateKey.generate()))
    keys = read_keys(json.dumps(stranger.key_set()).encode())
    with pytest.raises(PassportError, match="none of the trusted ones"):
        verify_signature(signer.sign(entry(1), NOW), keys)


def test_after_a_change_of_the_key_a_set_of_both_verifies_what_each_signed(signer, keys):
    newer = read_signer(pem_of(Ed25519PrivateKey.generate()))
    both = read_keys(json.dumps({"keys": [*signer.key_set()["keys"], *newer.key_set()["keys"]]}).encode())
    for version, one in enumerate((signer, newer), 1):
        assert verify_signature(one.sign(entry(version), NOW), both).version == version
    with pytest.raises(PassportError, match="none of the trusted ones"):
        verify_signature(newer.sign(entry(2), NOW), keys)


def test_a_stolen_key_id_does_not_help(signer, keys):
    stranger = Ed25519PrivateKey.generate()
    token = jwt.PyJWS().encode(b"{}", stranger, "EdDSA", headers={"kid": signer.key_id, "typ": TYPE})
    with pytest.raises(PassportError, match="not valid"):
        verify_signature(token, keys)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_refused(signer, keys, algorithm):
    """The classic forgeries: no algorithm at all, and the public key taken as a shared secret."""
    secret = "x" * 32 if algorithm == "HS256" else None
    token = jwt.PyJWS().encode(b"{}", secret, algorithm, headers={"kid": signer.key_id, "typ": TYPE})
    with pytest.raises(PassportError, match="not valid"):
        verify_signature(token, keys)


def test_a_token_for_something_else_is_refused(signer, keys):
    token = jwt.PyJWS().encode(
        b"{}", load_pem_private_key(RFC_8037_KEY, None), "EdDSA", headers={"kid": signer.key_id}
    )
    with pytest.raises(PassportError, match="is of type"):
        verify_signature(token, keys)


def test_every_changed_character_is_noticed(signer, keys):
    token = signer.sign(entry(3), NOW)
    for place in range(0, len(token) - 1, 7):  # the last character has bits that encode nothing
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(PassportError):
            verify_signature(changed, keys)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "ä" * 10, "x" * 5000])
def test_what_is_no_token_is_refused(keys, token):
    with pytest.raises(PassportError, match="signature: "):
        verify_signature(token, keys)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"geheim",
        pem_of(generate_private_key(SECP256R1())),
        pem_of(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"geheim")),
    ],
)
def test_what_is_no_signing_key_is_refused_and_never_quoted(pem):
    with pytest.raises(InputError, match="openssl genpkey") as caught:
        read_signer(pem)
    assert "geheim" not in str(caught.value)


def test_a_signer_does_not_show_its_key(signer):
    assert repr(signer) == "Signer(kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k)"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 1}', '{"keys": [1]}', '{"keys": []}',
                                  '{"keys": [{"kty": "OKP", "crv": "Ed25519"}]}',
                                  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}',
                                  '{"keys": [{"kty": "RSA"}]}'])  # fmt: skip
def test_what_is_no_key_set_is_one_sentence(text):
    with pytest.raises(InputError, match="the key set"):
        read_keys(text.encode())
