"""The outbox serves released files and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from battery_pilot.sandbox.outbox import create_app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def outbox(tmp_path: Path) -> TestClient:
    folder = tmp_path / "outbox"
    (folder / "b1").mkdir(parents=True)
    (folder / "b1" / "passport.json").write_text("{}")
    (folder / ".hidden").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return TestClient(create_app(folder))


def test_a_released_file_is_served_with_its_etag(outbox: TestClient) -> None:
    first = outbox.get("/b1/passport.json")
    assert (first.status_code, first.text, first.headers["content-type"]) == (200, "{}", "application/json")
    again = outbox.get("/b1/passport.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert outbox.head("/b1/passport.json").headers["content-length"] == "2"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/b1",
        "/b1/",
        "/none.json",
        "/.hidden",
        "/link.txt",
        "/%2e%2e/secret.txt",
        "/b1/..%2f..%2fsecret.txt",
        "/a%00b",
    ],
)
def test_folders_hidden_files_links_outside_and_escapes_do_not_exist(outbox: TestClient, path: str) -> None:
    assert outbox.get(path).status_code == 404


def test_nothing_can_be_written(outbox: TestClient) -> None:
    assert outbox.put("/b1/passport.json", content="x").status_code == 405
    assert outbox.delete("/b1/passport.json").status_code == 405
