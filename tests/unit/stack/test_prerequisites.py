from __future__ import annotations

import pytest

from battery_pilot.stack import prerequisites


def fake_java(folder, text):
    folder.mkdir(exist_ok=True)
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_supported_pythons_pass(version):
    assert prerequisites.python_problem(version) is None


@pytest.mark.parametrize("version", [(2, 7), (3, 10), (3, 13), (4, 0)])
def test_other_pythons_are_refused_with_the_remedy(version):
    assert "install Python 3.11 or 3.12" in prerequisites.python_problem(version)


@pytest.mark.parametrize(
    "text", ['openjdk version "17.0.15" 2025-04-15', 'java version "21"', 'openjdk version "25" 2025']
)
def test_a_java_that_spark_accepts_passes(monkeypatch, tmp_path, text):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "bin", text)), prepend=":")
    assert prerequisites.java_problem() is None


@pytest.mark.parametrize("text", ['openjdk version "11.0.2"', 'java version "1.8.0_401"'])
def test_an_old_java_is_refused_with_its_version(monkeypatch, tmp_path, text):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "bin", text)), prepend=":")
    assert "which Spark does not accept: install Java 17 or newer" in prerequisites.java_problem()


def test_a_missing_java_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prerequisites.java_problem().startswith("No Java found in the PATH, Spark needs one: install Java 17")


def test_java_home_comes_before_the_path(monkeypatch, tmp_path):
    fake_java(tmp_path / "bin", 'openjdk version "17"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert f"No Java found in JAVA_HOME={tmp_path / 'gone'}" in prerequisites.java_problem()
