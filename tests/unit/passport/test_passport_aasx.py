from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from basyx.aas import model as basyx_model
from basyx.aas.adapter.aasx import AASXReader, DictSupplementaryFileContainer

from battery_pilot.errors import PassportError
from battery_pilot.passport import aasx
from battery_pilot.passport.aasx import pack, write_aasx
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.documents import Attachment

Contents = "Callable[[Attachment], Path]"
SEEN = {
    Tier.PUBLIC: {"DOC-1", "STUDY-1"},
    Tier.LEGITIMATE_INTEREST: {"DOC-1", "STUDY-1", "CAD-1", "DISMANTLE-1", "SAFETY-1", "OWN-1"},
}


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as package:
        assert package.testzip() is None
        return {name: package.read(name) for name in package.namelist() if name.startswith("aasx/files/")}


@pytest.mark.parametrize("tier", list(Tier))
def test_package_of_a_view_holds_the_files_of_its_tier_and_no_byte_of_the_others(
    whole_passport: Passport, contents: dict[str, bytes], content_of: Any, tmp_path: Path, tier: Tier
) -> None:
    write_aasx(whole_passport.view(tier), tmp_path / "p.aasx", content_of)
    seen = SEEN.get(tier, contents.keys())
    assert set(files_of(tmp_path / "p.aasx").values()) == {contents[name] for name in seen}
    with zipfile.ZipFile(tmp_path / "p.aasx") as package:
        everything = b"\n".join(package.read(name) for name in package.namelist())
    for name in contents.keys() - seen:
        assert name.encode() not in everything
        assert hashlib.sha256(contents[name]).hexdigest().encode() not in everything


def test_basyx_reads_the_files_with_content_type_and_digest(
    whole_passport: Passport, contents: dict[str, bytes], content_of: Any, tmp_path: Path
) -> None:
    write_aasx(whole_passport, tmp_path / "p.aasx", content_of)
    files: Any = DictSupplementaryFileContainer()
    store: Any = basyx_model.DictIdentifiableStore()
    with AASXReader(tmp_path / "p.aasx", failsafe=False) as reader:
        reader.read_into(store, files)
    assert {files.get_content_type(name) for name in files} == {"application/pdf"}
    digests = {hashlib.sha256(content).digest() for content in contents.values()}
    assert {bytes(files.get_sha256(name)) for name in files} == digests


def test_same_passport_and_files_give_the_same_bytes(
    whole_passport: Passport, content_of: Any, tmp_path: Path
) -> None:
    for name in ("one.aasx", "two.aasx"):
        write_aasx(whole_passport, tmp_path / name, content_of)
    assert (tmp_path / "one.aasx").read_bytes() == (tmp_path / "two.aasx").read_bytes()


def test_file_that_has_changed_is_refused_and_the_former_package_stays(
    whole_passport: Passport, content_of: Any, tmp_path: Path
) -> None:
    target = tmp_path / "p.aasx"
    target.write_bytes(b"former")

    def changed(one: Attachment) -> Path:
        path: Path = content_of(one)
        path.write_bytes(b"something else")
        return path

    with pytest.raises(PassportError, match="not the one that the passport names"):
        write_aasx(whole_passport, target, changed)
    assert target.read_bytes() == b"former"
    assert [path.suffix for path in tmp_path.glob(".*")] == []


def test_file_that_is_too_large_is_refused_before_it_is_copied_whole(
    whole_passport: Passport, content_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aasx, "MAXIMUM_FILE_BYTES", 100)
    with pytest.raises(PassportError, match="more than 100 bytes"):
        write_aasx(whole_passport, tmp_path / "p.aasx", content_of)


def test_package_without_anybody_who_knows_the_files_is_refused(whole_passport: Passport, tmp_path: Path) -> None:
    with pytest.raises(PassportError, match="nobody said where the content of"):
        write_aasx(whole_passport, tmp_path / "p.aasx")


def test_file_with_the_name_of_a_part_that_every_package_has_is_refused() -> None:
    with pytest.raises(PassportError, match=r"aasx/data\.json as its file, which is a part of the package itself"):
        pack(io.BytesIO(), b"{}", {"/aasx/data.json": ("application/json", b"{}")})
