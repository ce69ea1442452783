"""The three cell designs that a simulated fleet is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator

from battery_pilot.passport.model import BatteryModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CellDesign:
    """What a cell of one model is like when it leaves the factory at 25 degC.

    :param model: its row in the master data.
    :param open_circuit_curve: state of charge (fraction) and open-circuit voltage (V), rising in both; below zero
        stands what a cell does when it is discharged too far.
    :param ohmic_resistance_ohm: electrolyte, current collectors and contacts.
    :param film_resistance_ohm: surface film of the anode.
    :param charge_transfer_resistance_ohm: reaction at the electrodes.
    :param diffusion_resistance_ohm: slow polarisation that a current builds up within a minute.
    :param inductance_henry: of the cell and its leads.
    :param charge_rate: charge current over rated capacity, in 1/h.
    :param discharge_rate: discharge current over rated capacity, in 1/h.
    :param thermal_resistance_kelvin_per_watt: from the cell to the room.
    :param cycle_loss: capacity fraction lost after the first full equivalent cycle at 25 degC.
    :param calendar_loss: capacity fraction lost after the first day at 25 degC.
    """

    model: BatteryModel
    open_circuit_curve: Curve
    ohmic_resistance_ohm: float
    film_resistance_ohm: float
    charge_transfer_resistance_ohm: float
    diffusion_resistance_ohm: float
    inductance_henry: float
    charge_rate: float
    discharge_rate: float
    thermal_resistance_kelvin_per_watt: float
    cycle_loss: float
    calendar_loss: float


@cache
def dense_curve(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a curve on a grid fine enough for linear interpolation in both directions.

    :return: abscissa and ordinate, both rising.
    """
    points = np.array(curve)
    grid = np.linspace(points[0, 0], points[-1, 0], 2001)
    return grid, PchipInterpolator(points[:, 0], points[:, 1])(grid)


_LAYERED_OXIDE: Curve = (
    (-0.03, 1.60),
    (0.0, 2.50),
    (0.01, 2.88),
    (0.02, 3.04),
    (0.05, 3.24),
    (0.1, 3.40),
    (0.2, 3.53),
    (0.3, 3.60),
    (0.4, 3.65),
    (0.5, 3.71),
    (0.6, 3.80),
    (0.7, 3.90),
    (0.8, 3.99),
    (0.9, 4.08),
    (1.0, 4.20),
)
_IRON_PHOSPHATE: Curve = (
    (-0.03, 1.60),
    (0.0, 2.50),
    (0.01, 2.76),
    (0.02, 2.91),
    (0.05, 3.08),
    (0.1, 3.19),
    (0.2, 3.245),
    (0.3, 3.278),
    (0.4, 3.290),
    (0.5, 3.296),
    (0.6, 3.303),
    (0.7, 3.325),
    (0.8, 3.333),
    (0.9, 3.338),
    (0.96, 3.352),
    (0.98, 3.39),
    (0.99, 3.45),
    (1.0, 3.65),
)

ELECTRIC_VEHICLE = CellDesign(
    model=BatteryModel(
        model_id="EV-NMC-21700-5",
        manufacturer_name="Beispiel Zellen GmbH",
        manufacturer_id="BPNL0000000EV01X",
        category="ev",
        mass_kilogram=0.069,
        warranty_months=96,
        nominal_voltage_volt=3.65,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=4.2,
        rated_capacity_ah=5.0,
        certified_energy_kwh=0.0181,
        initial_round_trip_efficiency_percent=94.0,
        round_trip_efficiency_at_half_life_percent=92.0,
        initial_self_discharge_percent_per_month=1.5,
        initial_cell_resistance_ohm=0.0265,
        initial_pack_resistance_ohm=0.028,
        maximum_power_watt=54.0,
        original_power_watt_at_80_percent_soc=50.0,
        original_power_watt_at_20_percent_soc=38.0,
        idle_temperature_minimum_celsius=-20.0,
        idle_temperature_maximum_celsius=45.0,
        expected_lifetime_years=12,
        expected_cycles=1200,
        exhaustion_threshold_percent=70.0,
        cycle_life_test_c_rate=1.0,
        initial_module_resistance_ohm=0.0268,
        power_to_energy_watt_per_watthour=2.98,
        chemistry_short_name="NMC",
        chemistry_name="Lithium nickel manganese cobalt oxide",
        extinguishing_agents=("Water", "CO2"),
        renewable_content_percent=1.2,
    ),
    open_circuit_curve=_LAYERED_OXIDE,
    ohmic_resistance_ohm=0.0140,
    film_resistance_ohm=0.0035,
    charge_transfer_resistance_ohm=0.0060,
    diffusion_resistance_ohm=0.0100,
    inductance_henry=6e-8,
    charge_rate=0.5,
    discharge_rate=1.0,
    thermal_resistance_kelvin_per_watt=8.0,
    cycle_loss=0.00055,
    calendar_loss=0.00060,
)

STATIONARY = CellDesign(
    model=BatteryModel(
        model_id="ST-LFP-PRISM-100",
        manufacturer_name="Beispiel Speicher AG",
        manufacturer_id="BPNL0000000ST02X",
        category="stationary",
        mass_kilogram=1.98,
        warranty_months=120,
        nominal_voltage_volt=3.2,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=3.65,
        rated_capacity_ah=100.0,
        certified_energy_kwh=0.325,
        initial_round_trip_efficiency_percent=98.0,
        round_trip_efficiency_at_half_life_percent=97.0,
        initial_self_discharge_percent_per_month=2.0,
        initial_cell_resistance_ohm=0.00062,
        initial_pack_resistance_ohm=0.00068,
        maximum_power_watt=640.0,
        original_power_watt_at_80_percent_soc=600.0,
        original_power_watt_at_20_percent_soc=520.0,
        idle_temperature_minimum_celsius=-10.0,
        idle_temperature_maximum_celsius=45.0,
        expected_lifetime_years=15,
        expected_cycles=4000,
        exhaustion_threshold_percent=70.0,
        cycle_life_test_c_rate=0.5,
        initial_module_resistance_ohm=0.00064,
        power_to_energy_watt_per_watthour=1.97,
        chemistry_short_name="LFP",
        chemistry_name="Lithium iron phosphate",
        extinguishing_agents=("Water",),
        renewable_content_percent=0.8,
    ),
    open_circuit_curve=_IRON_PHOSPHATE,
    ohmic_resistance_ohm=0.00032,
    film_resistance_ohm=0.00008,
    charge_transfer_resistance_ohm=0.00014,
    diffusion_resistance_ohm=0.00025,
    inductance_henry=1.4e-9,
    charge_rate=0.5,
    discharge_rate=0.5,
    thermal_resistance_kelvin_per_watt=2.2,
    cycle_loss=0.00042,
    calendar_loss=0.00065,
)

LIGHT_MEANS_OF_TRANSPORT = CellDesign(
    model=BatteryModel(
        model_id="LMT-NMC-18650-3.2",
        manufacturer_name="Beispiel Zellen GmbH",
        manufacturer_id="BPNL0000000EV01X",
        category="lmt",
        mass_kilogram=0.048,
        warranty_months=24,
        nominal_voltage_volt=3.65,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=4.2,
        rated_capacity_ah=3.2,
        certified_energy_kwh=0.0116,
        initial_round_trip_efficiency_percent=93.6,
        round_trip_efficiency_at_half_life_percent=91.0,
        initial_self_discharge_percent_per_month=2.0,
        initial_cell_resistance_ohm=0.042,
        initial_pack_resistance_ohm=0.046,
        maximum_power_watt=34.0,
        original_power_watt_at_80_percent_soc=31.0,
        original_power_watt_at_20_percent_soc=24.0,
        idle_temperature_minimum_celsius=-10.0,
        idle_temperature_maximum_celsius=40.0,
        expected_lifetime_years=8,
        expected_cycles=700,
        exhaustion_threshold_percent=60.0,
        cycle_life_test_c_rate=1.0,
        initial_module_resistance_ohm=0.044,
        power_to_energy_watt_per_watthour=2.93,
        chemistry_short_name="NMC",
        chemistry_name="Lithium nickel manganese cobalt oxide",
        extinguishing_agents=("Water", "Sand"),
        renewable_content_percent=0.9,
    ),
    open_circuit_curve=_LAYERED_OXIDE,
    ohmic_resistance_ohm=0.0220,
    film_resistance_ohm=0.0060,
    charge_transfer_resistance_ohm=0.0095,
    diffusion_resistance_ohm=0.0160,
    inductance_henry=9e-8,
    charge_rate=0.5,
    discharge_rate=1.0,
    thermal_resistance_kelvin_per_watt=9.0,
    cycle_loss=0.00070,
    calendar_loss=0.00065,
)

DESIGNS = (ELECTRIC_VEHICLE, STATIONARY, LIGHT_MEANS_OF_TRANSPORT)
"""The designs in the order in which batteries are dealt out."""
