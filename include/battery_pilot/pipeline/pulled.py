"""Where the consumer keeps what it pulled."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from battery_pilot.outbox import shard

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.contracts import Contract


def pulled_file(lake: Lake, contract: Contract) -> Path:
    """Return where the data of a contract lie; the counterparty's names stay out of the path."""
    name = hashlib.sha256(f"{contract.counterparty_id}\0{contract.asset_id}".encode()).hexdigest()
    return lake.root / "pulled" / shard(name) / f"{name}.json"
