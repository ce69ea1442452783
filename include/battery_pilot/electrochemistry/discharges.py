"""Full discharges: what a battery delivers from full to empty, at once or after storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.electrochemistry.definitions import EMPTY_VOLTAGE_FRACTION, STORAGE_SECOND, Limits

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.rows import Array, Log


class States(NamedTuple):
    """What each row is by itself, and where that changes.

    :param charged: positions of the charging rows.
    :param active: positions of the charging and the discharging rows.
    :param emptied: positions of the empty rows.
    :param net: charge minus discharge up to each row.
    """

    charging: Array
    discharging: Array
    full: Array
    charged: Array
    active: Array
    emptied: Array
    net: Array


def states(log: Log, limits: Limits, flows: dict[str, Array]) -> States:
    """Classify the rows.

    :param flows: result of :func:`.integrals.intervals`.
    """
    charging, discharging = log.current > limits.rest_ampere, log.current < -limits.rest_ampere
    return States(
        charging=charging,
        discharging=discharging,
        full=(log.voltage >= limits.full_volt) & (log.current <= limits.taper_ampere),
        charged=np.flatnonzero(charging),
        active=np.flatnonzero(charging | discharging),
        emptied=np.flatnonzero(log.voltage <= EMPTY_VOLTAGE_FRACTION * limits.empty_volt),
        net=np.cumsum(flows["charge_ah"] - flows["discharge_ah"]),
    )


def capacities(log: Log, state: States, flows: dict[str, Array]) -> dict[str, Array]:
    """Return charge and energy of each full discharge, at once or after storage.

    :param flows: result of :func:`.integrals.intervals`.
    :returns: ``cycle``, ``capacity_ah``, ``capacity_wh``, ``retained_ah`` and ``storage_second``.
    """
    start, end = _emptying(log, state)
    charged = log.newest(state.charged, start, before=True)
    was_full = np.where(start > log.first[start], state.full[start - 1], state.full[start])
    from_full = was_full | ((charged >= 0) & state.full[charged])
    storage = np.where(charged >= 0, log.time[start] - log.time[charged], np.nan)
    stored = storage >= STORAGE_SECOND
    ah, wh, gaps = (segment_sums(flows[name], start, end) for name in ("discharge_ah", "discharge_wh", "gaps"))
    whole = from_full & (gaps == 0) & (log.cycle[start] == log.cycle[end])
    return {
        "cycle": log.cycle[end][whole],
        "capacity_ah": np.where(stored, np.nan, ah)[whole],
        "capacity_wh": np.where(stored, np.nan, wh)[whole],
        "retained_ah": np.where(stored, ah, np.nan)[whole],
        "storage_second": np.where(stored, storage, np.nan)[whole],
    }


def _emptying(log: Log, state: States) -> tuple[Array, Array]:
    """Return where each discharge starts that reaches empty without charging in between, and its first empty row."""
    charges = state.charging[state.active]
    begins = np.ones(charges.size, dtype=bool)
    begins[1:] = charges[:-1] | (log.first[state.active[1:]] != log.first[state.active[:-1]])
    starts = state.active[begins & ~charges]
    end = state.emptied
    start = log.newest(starts, end)
    emptied = log.newest(end, end, before=True)
    kept = (start >= 0) & (emptied < start) & (log.newest(state.charged, end) < start)
    return start[kept], end[kept]


def segment_sums(values: Array, start: Array, end: Array) -> Array:
    """Sum ``values`` from each start to its end, both included."""
    if start.size == 0:
        return np.zeros(0)
    edges = np.column_stack([start, end + 1]).ravel()
    edges = edges[:-1] if edges[-1] == values.size else edges
    sums: Array = np.add.reduceat(values, edges, dtype=np.float64)[::2]
    return sums


def net_since_empty(log: Log, state: States) -> Array:
    """Return the net charge of each cycle after its last empty row, not-a-number where there is none."""
    ends = log.by_cycle(np.maximum, np.arange(state.net.size), -1)
    empty = np.full(log.cycles, -1)
    np.maximum.at(empty, log.cycle[state.emptied], state.emptied)
    return np.where(empty >= 0, state.net[ends] - state.net[empty], np.nan)
