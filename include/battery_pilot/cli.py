"""The command ``battery-pilot``."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING

from battery_pilot import __version__
from battery_pilot.commands import files, learning, negotiations, orion, passports, reading, servers
from battery_pilot.errors import BatteryPilotError

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="battery-pilot", description="From an instrument's file to a shared, living Digital Battery Passport."
    )
    top.add_argument("--version", action="version", version=f"battery-pilot {__version__}")
    top.add_argument("--verbose", action="store_true", help="tell more while working")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (reading, files, learning, passports, negotiations, orion, servers):
        group.register(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: words after the command's name; ``None`` for those of the process.
    :return: exit code: 0, or 1 after one sentence on standard error, or what the command itself decides.
    """
    chosen = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if chosen.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        return int(chosen.run(chosen))
    except BatteryPilotError as error:
        print(f"battery-pilot: {error}", file=sys.stderr)
    except FileNotFoundError as error:
        print(f"battery-pilot: {error.filename}: no such file or folder", file=sys.stderr)
    except OSError as error:
        print(f"battery-pilot: {error.filename or 'input'}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("battery-pilot: stopped", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
