"""A spectrum with all that can be made of it."""

from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.electrochemistry.impedance.drt import relaxation_times
from battery_pilot.figures.spectrum_view import SpectrumView

HOSTILE = "Cell $x_1$ </script><script>document.title='taken'</script> & co"


@pytest.fixture(scope="session")
def view() -> SpectrumView:
    """Two arcs of a small cell with a fit that is off by 1 %, and a title that tries to become markup."""
    frequency = np.geomspace(1e4, 1e-2, 37)
    s = 2j * np.pi * frequency
    impedance = 0.02 + 0.01 / (1 + (s * 1e-3) ** 0.9) + 0.02 / (1 + (s * 0.5) ** 0.9)
    return SpectrumView(
        title=HOSTILE,
        frequency_hertz=frequency,
        impedance_ohm=impedance,
        fitted_ohm=0.99 * impedance,
        circuit="R0-p(R1,CPE1)-p(R2,CPE2)",
        distribution=relaxation_times(frequency, impedance),
        notes=("the battery's <b>first</b> spectrum",),
    )
