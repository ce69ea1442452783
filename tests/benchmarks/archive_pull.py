"""Pull an archive through a connector in a process of its own and print how much memory that took at its peak.

``python -m tests.benchmarks.archive_pull URL KEY TRANSFER`` prints JSON: bytes, seconds, peak_mb.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from battery_pilot.services.connectors.edc import EdcConnector

LONGEST_BYTES = 2 * 2**30


def peak_mb(process: int | str = "self") -> float:
    """Return the most memory that a process ever had resident, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Pull, and print the figures."""
    url, key, transfer_id = sys.argv[1:]
    consumer = EdcConnector(url, api_key=key, participant_id="consumer")
    begin = time.monotonic()
    size = sum(map(len, consumer.stream(transfer_id, maximum_bytes=LONGEST_BYTES)))
    print(json.dumps({"bytes": size, "seconds": time.monotonic() - begin, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
