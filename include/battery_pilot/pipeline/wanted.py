"""Provider, stage 3: the batteries that get a passport of a window, and how they become its subjects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from battery_pilot.electrochemistry.condition import Condition, Frozen
from battery_pilot.passport.documents import Document
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.facts import ModelFacts, Operator
from battery_pilot.passport.life import NO_LIFE, Life
from battery_pilot.passport.model import BatteryItem, BatteryModel
from battery_pilot.pipeline.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

WANTED_COLUMNS = ("battery_id", "wanted")
"""Columns of a table of batteries: the name, and the battery as the JSON of :class:`Wanted`."""

_ROWS_AT_ONCE = 100  # that are held as Python objects


class Wanted(Frozen):
    """A battery that gets a passport, with all that is known of it alone besides its measurements of the window.

    :param item: facts of the battery.
    :param life: what happened to it.
    :param documents: its own documents.
    :param condition: that of its last passport, where the window brought an event and no measurements; else ``None``.
    :param evidence: that of the same passport.
    """

    item: BatteryItem
    life: Life = NO_LIFE
    documents: tuple[Document, ...] = ()
    condition: Condition | None = None
    evidence: Evidence = Evidence()


@dataclass(frozen=True)
class Shared:
    """What batteries share.

    :param models: model id to model.
    :param facts: model id to what the other tables know of it.
    :param operators: operator id to operator.
    """

    models: Mapping[str, BatteryModel]
    facts: Mapping[str, ModelFacts]
    operators: Mapping[str, Operator]


def subject_of(wanted: Wanted, row: Mapping[str, Any], shared: Shared) -> Subject:
    """Bring together what is known of a battery.

    :param wanted: the battery.
    :param row: its row of the aggregates; not looked at where the battery has a condition already.
    :param shared: what it shares with others.
    """
    from battery_pilot.electrochemistry.health import condition_from_aggregates
    from battery_pilot.pipeline.evidence import evidence_of

    item, condition, evidence = wanted.item, wanted.condition, wanted.evidence
    model = shared.models[item.model_id]
    if condition is None:
        condition, evidence = condition_from_aggregates(row, model.ratings()), evidence_of(row)
    return Subject(
        model=model,
        item=item,
        condition=condition,
        life=wanted.life,
        evidence=evidence.model_copy(update={"documents": wanted.documents}),
        operator=shared.operators.get(item.operator_id or ""),
        facts=shared.facts.get(item.model_id, ModelFacts()),
    )


def subjects_in(batch: pa.RecordBatch, shared: Shared) -> Iterator[Subject]:
    """Yield the subjects of a table of batteries.

    :param batch: with :data:`WANTED_COLUMNS` and the columns of the aggregates.
    :param shared: what the batteries share.
    """
    for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
        for row in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
            yield subject_of(Wanted.model_validate_json(row["wanted"]), row, shared)
