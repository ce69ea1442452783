"""How commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def print_json(content: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def print_fields(content: Mapping[str, Any], indent: str = "") -> None:
    """Print a mapping as aligned lines; nested mappings are indented, absent values say so."""
    width = max((len(name) for name in content), default=0)
    for name, value in content.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}")
            print_fields(value, indent + "  ")
        elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, 1):
                print(f"{indent}{name} {number}")
                print_fields(item, indent + "  ")
        else:
            print(f"{indent}{name:<{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value) or "-"
    return str(value)
