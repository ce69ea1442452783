"""What a check of a passport says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a passport, or may be.

    :param path: where, as path of idShorts or, for faults of the AAS itself, as path into the environment.
    :param rule: short name of the rule; ``docs/passport.md`` explains each.
    :param severity: ``error`` or ``warning``; an element that is missing is a warning, because data may be lacking or the
        file may be the view of a tier.
    :param message: what is wrong, in one sentence.
    """

    path: str
    rule: str
    severity: Severity
    message: str


def error(path: str, rule: str, message: str) -> Finding:
    """Return a finding that makes a passport unfit."""
    return Finding(path, rule, "error", message)


def warning(path: str, rule: str, message: str) -> Finding:
    """Return a finding that a reader should know of."""
    return Finding(path, rule, "warning", message)
