from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.electrochemistry.impedance.circuit import CircuitError, parse_circuit
from battery_pilot.electrochemistry.impedance.elements import frequencies
from battery_pilot.errors import InputError

OMEGA = np.array([1e-2, 1.0, 1e3])
FREQUENCY = OMEGA / (2 * np.pi)


def test_names_and_units_follow_the_string():
    circuit = parse_circuit("L0-R0-p(R1,CPE1)-Wo1-W2-Ws3-C4")
    assert circuit.units == {
        "L0": "H",
        "R0": "ohm",
        "R1": "ohm",
        "CPE1_Q": "ohm^-1 s^alpha",
        "CPE1_alpha": "1",
        "Wo1_R": "ohm",
        "Wo1_tau": "s",
        "W2": "ohm s^-1/2",
        "Ws3_R": "ohm",
        "Ws3_tau": "s",
        "C4": "F",
    }


@pytest.mark.parametrize(
    ("string", "values", "expected"),
    [
        ("R1", {"R1": 3.0}, 3 + 0 * OMEGA),
        ("C1", {"C1": 2.0}, 1 / (2j * OMEGA)),
        ("L1", {"L1": 2.0}, 2j * OMEGA),
        ("CPE1", {"CPE1_Q": 2.0, "CPE1_alpha": 0.5}, 1 / (2 * np.sqrt(1j * OMEGA))),
        ("W1", {"W1": 2.0}, 2 * (1 - 1j) / np.sqrt(OMEGA)),
        ("G1", {"G1_R": 2.0, "G1_tau": 3.0}, 2 / np.sqrt(1 + 3j * OMEGA)),
        (
            "Zarc1",
            {"Zarc1_R": 2.0, "Zarc1_tau": 3.0, "Zarc1_gamma": 0.8},
            2 / (1 + (3j * OMEGA) ** 0.8),
        ),
        ("R1-p(R2,C1)", {"R1": 1.0, "R2": 2.0, "C1": 3.0}, 1 + 2 / (1 + 6j * OMEGA)),
        ("p(R1, C1 - R2)", {"R1": 1.0, "C1": 2.0, "R2": 3.0}, 1 / (1 + 1 / (3 + 1 / (2j * OMEGA)))),
        ("p(R1,R2,R3)", {"R1": 2.0, "R2": 4.0, "R3": 4.0}, 1 + 0 * OMEGA),
        ("p(R1,p(R2,R3)-R4)", {"R1": 2.0, "R2": 2.0, "R3": 2.0, "R4": 1.0}, 1 + 0 * OMEGA),
    ],
)
def test_impedance_follows_the_textbook(string, values, expected):
    np.testing.assert_allclose(parse_circuit(string).impedance(FREQUENCY, values), expected, rtol=1e-12)


def test_open_diffusion_ends_in_a_capacitance_and_short_diffusion_in_a_resistance():
    slow = np.array([1e-6])
    opened = parse_circuit("Wo1").impedance(slow, {"Wo1_R": 3.0, "Wo1_tau": 2.0})[0]
    # For w -> 0: R / 3 + R / (jw tau).
    np.testing.assert_allclose(opened, 1 + 3 / (2j * np.pi * 1e-6 * 2), rtol=1e-9)
    shorted = parse_circuit("Ws1").impedance(slow, {"Ws1_R": 3.0, "Ws1_tau": 2.0})[0]
    np.testing.assert_allclose(shorted, 3.0, rtol=1e-4)


def test_fast_diffusion_does_not_overflow():
    for kind in ("Wo", "Ws"):
        z = parse_circuit(f"{kind}1").impedance([1e9], {f"{kind}1_R": 1.0, f"{kind}1_tau": 1e9})
        assert np.isfinite(z).all()


def test_derivatives_agree_with_finite_differences():
    circuit = parse_circuit("L0-R0-p(R1,CPE1-W1)-p(R2,C2,Ws4-p(R5,Zarc6))-Wo3-Zarc7-G8")
    values = np.linspace(0.3, 0.9, len(circuit.units))
    grid = frequencies(FREQUENCY)
    _, derivatives = circuit.respond(grid, values[None])
    for index in range(values.size):
        up, down = values.copy(), values.copy()
        up[index] *= np.exp(1e-5)
        down[index] *= np.exp(-1e-5)
        (above, below), _ = circuit.respond(grid, np.array([up, down]))
        np.testing.assert_allclose(derivatives[0, index], (above - below) / 2e-5, rtol=1e-6, atol=1e-8)


def test_many_sets_of_parameters_give_the_same_as_each_alone():
    circuit = parse_circuit("L0-R0-p(R1,CPE1)-Wo3-G8")
    values = np.random.default_rng(0).uniform(0.1, 1, (5, len(circuit.units)))
    together, _ = circuit.respond(frequencies(FREQUENCY), values)
    for z, row in zip(together, values, strict=True):
        alone = circuit.impedance(FREQUENCY, dict(zip(circuit.units, row, strict=True)))
        np.testing.assert_allclose(z, alone, rtol=1e-13)


@pytest.mark.parametrize(
    ("string", "position", "expected"),
    [
        ("", 1, "an element"),
        ("R0-", 4, "an element"),
        ("R0-X1", 4, "an element"),
        ("R0-R", 4, "an element"),
        ("R0 R1", 4, "'-' or the end"),
        ("R0-p(R1,C1", 11, r"'\)'"),
        ("R0-p(R1)", 8, "','"),
        ("R0-p(R1,)", 9, "an element"),
        ("R0-R0", 4, "R0 exists already"),
        ("R0)", 3, "'-' or the end"),
        ("p R1", 3, r"'\('"),
    ],
)
def test_syntax_errors_name_the_position(string, position, expected):
    with pytest.raises(CircuitError, match=f"position {position}: .*{expected}"):
        parse_circuit(string)


def test_a_missing_parameter_is_named():
    with pytest.raises(InputError, match="expected: R0, C1"):
        parse_circuit("R0-C1").impedance(FREQUENCY, {"R0": 1.0})
