from __future__ import annotations

import base64
import hashlib
from importlib.metadata import distribution

import pytest


@pytest.mark.parametrize("name", ["pyspark", "pyspark-client"])
def test_pyspark_is_whole_although_two_packages_write_into_its_folder(name):
    different = []
    checked = 0
    for file in distribution(name).files:
        if file.hash is None or file.suffix == ".pyc":
            continue
        path = file.locate()
        found = hashlib.new(file.hash.mode, path.read_bytes()).digest() if path.is_file() else b""
        checked += 1
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != file.hash.value:
            different.append(str(file))
    assert checked > 300
    assert different == []


def test_both_pyspark_packages_have_the_same_version():
    assert distribution("pyspark").version == distribution("pyspark-client").version


def test_the_lock_is_what_is_installed(project):
    from importlib.metadata import version

    from packaging.requirements import Requirement

    wanted = [
        line for line in (project / "requirements.txt").read_text().splitlines() if line and line[0] not in " #"
    ]
    requirements = [Requirement(line) for line in wanted]
    assert all(len(one.specifier) == 1 and str(one.specifier).startswith("==") for one in requirements)
    here = [one for one in requirements if one.marker is None or one.marker.evaluate()]
    assert {one.name: version(one.name) for one in here} == {one.name: str(one.specifier)[2:] for one in here}
