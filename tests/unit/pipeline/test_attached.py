"""Documents travel with the views that name them, and only with those."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import UTC, datetime
from io import BytesIO

import pytest
from fastapi.testclient import TestClient

from battery_pilot.errors import PassportError
from battery_pilot.lake import Lake
from battery_pilot.passport.documents import Attachment, Document
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline import attached
from battery_pilot.pipeline.acquire import (
    journal_of,
    pull,
    request_contracts,
    settle_negotiations,
    settle_transfers,
    start_transfers,
)
from battery_pilot.pipeline.attached import FileOwners, PulledFiles, pulled_content
from battery_pilot.pipeline.documents import kept_file
from battery_pilot.pipeline.fleets import Granularity
from battery_pilot.pipeline.offers import outbox, publish
from battery_pilot.pipeline.release import record_versions
from battery_pilot.pipeline.shown import twin_of_read
from battery_pilot.pipeline.twins import verified, verify
from battery_pilot.services.data_app import create_app
from battery_pilot.services.data_app.access import AccessJournal, Keys

JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
LEGITIMATE = Tier.LEGITIMATE_INTEREST
OPEN, CLOSED = b"%PDF declaration", b"%PDF accident"


def name_of(content):
    return f"{hashlib.sha256(content).hexdigest()}.pdf"


@pytest.fixture
def document(lake):
    """A document whose content lies on the provider's shelf."""

    def write(battery_id, content, purpose):
        digest = hashlib.sha256(content).hexdigest()
        place = kept_file(lake, digest, "pdf")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        file = Attachment(name="a.pdf", content_type="application/pdf", sha256=digest, byte_count=len(content))
        return Document(document_id=purpose, battery_id=battery_id, purpose=purpose, title="T", attachment=file)

    return write


@pytest.fixture
def release(lake, january, stage_subjects, subject_of, history, party, base, document):
    """Publish batteries with an open document, which all have, and a closed one of its own for BP-1."""

    def run(*battery_ids, granularity=Granularity.FLEET, tiers=(Tier.PUBLIC, LEGITIMATE), documents=True):
        staged = []
        for name in battery_ids:
            found = [document(name, OPEN, "declaration_of_conformity")] if documents else []
            found += [document(name, CLOSED, "accident_report")] if documents and name == "BP-1" else []
            evidence = Evidence(documents=tuple(found))
            staged.append(subject_of(name, JANUARY_20).model_copy(update={"evidence": evidence}))
        stage_subjects(lake, january, *staged)
        record_versions(lake, january, history, base, "run")
        publish(lake, january, history, party, base, tiers, granularity=granularity)

    return run


def shown(lake, folder):
    """Return the names of the files below a folder of the outbox."""
    return {path.name for path in (outbox(lake) / folder / "files").rglob("*") if path.is_file()}


@pytest.fixture
def consume(lake, connector, party, tmp_path):
    """Pull what is in the outbox as the consumer of a tier."""

    def run(tier, name="run"):
        connector.files.clear()
        for path in outbox(lake).rglob("*"):
            if path.is_file() and path.relative_to(outbox(lake)).parts[0] == tier:
                relative = path.relative_to(outbox(lake) / tier).as_posix()
                connector.files[f"passports:{tier}/{relative}"] = path.read_bytes()
        own = Lake(tmp_path / "consumer")
        own.root.mkdir(exist_ok=True)
        journal = journal_of(own)
        request_contracts(journal, party, name, tier)
        settle_negotiations(journal, party, name)
        start_transfers(journal, party, name)
        settle_transfers(journal, party, name)
        pull(own, journal, party, name)
        return own, journal

    return run


def test_a_view_brings_the_files_of_its_tier_and_no_others(lake, release):
    release("BP-1", "BP-2")
    assert shown(lake, "public") == {name_of(OPEN)}
    assert shown(lake, "legitimate_interest") == {name_of(OPEN), name_of(CLOSED)}


def test_released_files_take_no_room_of_their_own(lake, release):
    release("BP-1")
    (path,) = (outbox(lake) / "public" / "files").rglob("*.pdf")
    assert path.samefile(kept_file(lake, hashlib.sha256(OPEN).hexdigest(), "pdf"))


def test_a_file_goes_with_the_last_bundle_that_names_it(lake, release):
    release("BP-1", "BP-2")
    release("BP-1", documents=False)
    assert shown(lake, "legitimate_interest") == {name_of(OPEN)}
    release("BP-2", documents=False)
    assert shown(lake, "legitimate_interest") == set()


def test_files_of_a_tier_that_is_taken_back_are_gone(lake, release):
    release("BP-1")
    release("BP-1", tiers=[Tier.PUBLIC])
    assert shown(lake, "legitimate_interest") == set()
    assert shown(lake, "public") == {name_of(OPEN)}


def test_the_folder_of_a_model_has_its_files_too(lake, release):
    release("BP-1", granularity=Granularity.MODEL, tiers=[LEGITIMATE])
    (model,) = (outbox(lake) / LEGITIMATE / "models").iterdir()
    assert shown(lake, model.relative_to(outbox(lake))) == {name_of(OPEN), name_of(CLOSED)}
    release("BP-1", granularity=Granularity.MODEL, tiers=[LEGITIMATE], documents=False)
    assert shown(lake, model.relative_to(outbox(lake))) == set()
    assert shown(lake, LEGITIMATE) == set()


def test_a_file_that_the_lake_has_lost_is_named(lake, release, january, history, party, base):
    release("BP-1", tiers=[])
    kept_file(lake, hashlib.sha256(OPEN).hexdigest(), "pdf").unlink()
    with pytest.raises(PassportError, match=r"\.pdf is gone; process and build again$"):
        publish(lake, january, history, party, base, [Tier.PUBLIC])


@pytest.mark.parametrize(("tier", "files"), [(Tier.PUBLIC, {OPEN}), (LEGITIMATE, {OPEN, CLOSED})])
def test_the_consumer_gets_the_files_with_the_passports_and_shows_them(release, consume, tier, files):
    release("BP-1", "BP-2")
    own, journal = consume(tier)
    kept = {path.read_bytes() for path in (own.root / "documents").rglob("*.pdf")}
    assert kept == files
    assert verify(own, journal, "run", tier)["verified"] == 2
    (first,) = [one for one in verified(own, journal, "run") if one.battery_id == "BP-1"]
    contents = twin_of_read(first, own).content.files
    assert {path.read_bytes() for path in contents.values()} == files


def test_each_file_is_fetched_once(release, consume, connector):
    release(*(f"BP-{number}" for number in range(1, 9)))
    consume(Tier.PUBLIC)
    assert [call for call in connector.calls if call[1].startswith("files/")] == [
        ("fetch", f"files/{name_of(OPEN)[:2]}/{name_of(OPEN)}")
    ]


class Liar:
    """A source of files with another content, or with more than is taken."""

    def __init__(self, data):
        self.contract = type("Contract", (), {"asset_id": "passports:public"})
        self.data = data
        self.asked = []

    def fetch(self, maximum_bytes, path):
        self.asked.append((maximum_bytes, path))
        return self.data


def bundle_naming(*names):
    return ",".join(f'{{"value":"/aasx/files/{name}"}}' for name in names).encode()


def test_a_file_with_another_content_is_not_kept(tmp_path, caplog):
    lake = Lake(tmp_path)
    PulledFiles(lake).fetch(Liar(b"something else"), bundle_naming(name_of(OPEN)))
    assert not pulled_content(lake, name_of(OPEN)).exists()
    assert "another content than its name says" in caplog.text


def test_only_so_many_bytes_are_fetched_with_one_bundle(tmp_path, monkeypatch):
    monkeypatch.setattr(attached, "MAXIMUM_BYTES_WITH_BUNDLE", len(OPEN) + 3)
    source = Liar(OPEN)
    other = "f" * 64 + ".pdf"
    PulledFiles(Lake(tmp_path)).fetch(source, bundle_naming(name_of(OPEN), other))
    assert [maximum for maximum, _ in source.asked] == [len(OPEN) + 3, 3]


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64 + ".pdf", "a" * 64 + ".p/f", "a" * 63 + ".pdf"])
def test_nothing_but_names_of_digests_is_asked_for(tmp_path, name):
    source = Liar(b"")
    PulledFiles(Lake(tmp_path)).fetch(source, bundle_naming(name))
    assert source.asked == []


def test_pulled_files_go_with_the_last_bundle_that_names_them(tmp_path):
    lake = Lake(tmp_path)
    files = PulledFiles(lake)
    one, other = lake.root / "pulled" / "1.json", lake.root / "pulled" / "2.json"
    files.fetch(Liar(OPEN), bundle_naming(name_of(OPEN)))
    for bundle in (one, other):
        files.note(bundle, bundle_naming(name_of(OPEN)))
    files.drop(one)
    assert pulled_content(lake, name_of(OPEN)).exists()
    files.drop(other)
    assert not pulled_content(lake, name_of(OPEN)).exists()


def test_a_folder_that_is_forgotten_takes_its_names_along_and_no_others(tmp_path):
    owners = FileOwners(tmp_path / "owners.sqlite")
    for bundle in ("a/x.json", "ab/x.json", "a"):
        owners.put(bundle, ["f"])
    owners.forget("a")
    assert [owners.of(bundle) for bundle in ("a/x.json", "ab/x.json", "a")] == [set(), {"f"}, {"f"}]


@pytest.mark.parametrize(("tier", "files"), [(Tier.PUBLIC, {OPEN}), (LEGITIMATE, {OPEN, CLOSED})])
def test_the_data_app_packs_the_files_of_the_readers_tier(lake, release, tmp_path, tier, files):
    release("BP-1", granularity=Granularity.BATTERY)
    keys = Keys({"connector": ("key", tier)})
    client = TestClient(create_app(outbox(lake), keys, AccessJournal(tmp_path / "a")), headers={"X-Api-Key": "key"})
    with zipfile.ZipFile(BytesIO(client.get("/passports/BP-1?format=aasx").content)) as package:
        assert {package.read(name) for name in package.namelist() if "/files/" in name} == files
