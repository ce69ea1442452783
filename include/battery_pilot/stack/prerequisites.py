"""Checks what pip cannot bring: a Python that fits, a Java that Spark accepts. Runs on any Python 3 without packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON_VERSIONS = ((3, 11), (3, 12))
OLDEST_JAVA = 17


def python_problem(version: tuple[int, ...] | None = None) -> str | None:
    """Return what is wrong with this interpreter, or ``None``."""
    version = tuple(version or sys.version_info[:2])
    if version in PYTHON_VERSIONS:
        return None
    wanted = " or ".join(".".join(map(str, one)) for one in PYTHON_VERSIONS)
    return f"Python {version[0]}.{version[1]} is not supported: install Python {wanted} and name it, for example make setup PYTHON=python3.12."


def java_command() -> str | None:
    """Return the Java that Spark would use, or ``None``."""
    home = os.environ.get("JAVA_HOME")
    if home:
        return shutil.which("java", path=str(Path(home) / "bin"))
    return shutil.which("java")


def java_problem() -> str | None:
    """Return what is wrong with the machine's Java, or ``None``."""
    remedy = (
        f"install Java {OLDEST_JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME."
    )
    command = java_command()
    if command is None:
        place = "JAVA_HOME={}".format(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else "the PATH"
        return f"No Java found in {place}, Spark needs one: {remedy}"
    try:
        done = subprocess.run(  # noqa: S603 - asks the Java that Spark would run
            [command, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command} does not run ({error}): {remedy}"
    text = done.stdout.decode("utf-8", "replace")
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    if match is None:
        return f"{command} does not tell its version: {remedy}"
    if int(match.group(1)) < OLDEST_JAVA:
        return f"{command} is Java {match.group(1)}, which Spark does not accept: {remedy}"
    return None


def main() -> int:
    """Print each problem in one sentence; exit code 1 if there is any."""
    problems = [problem for problem in (python_problem(), java_problem()) if problem]
    for problem in problems:
        sys.stderr.write(f"battery-pilot: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
