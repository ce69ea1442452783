"""A physically plausible fleet with its instrument files, for demonstrations, load tests and benchmarks."""

from __future__ import annotations

from battery_pilot.simulate.fleet import DamagedFile, SimulatedFleet, simulate_fleet

__all__ = ["DamagedFile", "SimulatedFleet", "simulate_fleet"]
