"""Is a model better than a baseline, or was it lucky? A paired comparison that counts batteries.

Check-ups of one battery depend on each other, so each battery gives one number: by how much the model's mean absolute
error is below the baseline's. If the model were no better, each of these differences could as well have the other sign;
the test asks in which share of all choices of signs the mean difference would be as large as it is (Fisher's sign-flip
test, one-sided). It needs no normal distribution and does not flatter a handful of batteries: ``n`` of them cannot give a
value below ``2**-n``, so at :data:`LEVEL` fewer than five never suffice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
"""A model counts as better where the test's value is not above this."""

MOST_COMPARED = 10_000
"""More batteries are not brought to one machine; the rest could not change the answer."""

_EXACT_UP_TO = 14
_SAMPLES = 20_000
_SIGNS_AT_ONCE = 2**22


class Comparison(BaseModel):
    """A model against one baseline on batteries that the model had not seen.

    :param batteries: how many were compared.
    :param better: on how many of them the model's mean absolute error is the lower one.
    :param mean_advantage: mean over the batteries of baseline's minus model's error, in the target's unit.
    :param p_value: see the module's description, 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batteries: int
    better: int
    mean_advantage: float
    p_value: float

    @property
    def is_better(self) -> bool:
        """Whether the advantage is more than luck."""
        return self.mean_advantage > 0 and self.p_value <= LEVEL


def compare(model: Sequence[float], baseline: Sequence[float], seed: int = 0) -> Comparison:
    """Compare a model with a baseline.

    :param model: mean absolute error of the model, one for each battery, at least one.
    :param baseline: the same of the baseline, in the same order.
    :param seed: of the random signs, which are used for more than 14 batteries.
    """
    advantage = np.asarray(baseline, dtype=float) - np.asarray(model, dtype=float)
    return Comparison(
        batteries=len(advantage),
        better=int((advantage > 0).sum()),
        mean_advantage=float(advantage.mean()),
        p_value=_sign_flip(advantage, seed),
    )


def _sign_flip(advantage: np.ndarray[tuple[int, ...], np.dtype[np.float64]], seed: int) -> float:
    count = len(advantage)
    # The last bit of a sum must not decide what is as large as what was seen.
    seen = advantage.sum() - 1e-12 * np.abs(advantage).sum()
    if count <= _EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return float(np.mean(signs @ advantage >= seen))
    random = np.random.default_rng(seed)
    left, reached = _SAMPLES, 0
    while left:
        rows = min(left, max(1, _SIGNS_AT_ONCE // count))
        reached += int((random.choice((-1.0, 1.0), size=(rows, count)) @ advantage >= seen).sum())
        left -= rows
    # What was seen is one of the choices: a random sample of the others never gives 0.
    return (reached + 1) / (_SAMPLES + 1)
