"""The mapping tables: one row an element of a passport part, one file a part and template version.

A table's name is ``{template}_{part}_{version}.csv``. Its first row is the submodel, whose source says whether the part
belongs to a battery (``item``) or to all batteries of a model (``model``). A new part, or a new version of one, is a new
file; of several versions of a part the newest is used.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from battery_pilot.errors import PassportError
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN_IDS = "https://battery-pilot.org/ids/1/0/"
"""Base of the semantic ids of what no published template has; every id below it is in ``tables/concepts.csv``."""

_TABLE_NAME = re.compile(r"(?P<template>[a-z0-9-]+)_(?P<part>[a-z_]+)_(?P<version>\d+(\.\d+)+)\.csv")
SUPPLIERS = ("maker", "operator", "laboratory", "recycler")
"""Who supplies what a passport says."""

RANKS = {tier: rank for rank, tier in enumerate(Tier)}
"""The tiers from open to closed."""

_KINDS = frozenset({"Submodel", "SMC", "SML", "Property", "MLP", "File"})
_FLOAT_MAXIMUM = 3.4028234e38  # of xs:float, which has 32 bit


@dataclass(frozen=True)
class Row:
    """One element of a part.

    :param path: idShorts from the submodel on, joined by dots; ``[]`` stands for a member of a list.
    :param kind: Submodel, SMC (collection), SML (list), Property, MLP (multi-language property) or File.
    :param semantic_id: what the element means.
    :param supplemental_semantic_ids: further ids of the same meaning.
    :param value_type: XSD type of a property.
    :param unit: unit of the value; where the template errs, the right one, and the note says so.
    :param cardinality: One, ZeroToOne, ZeroToMany or OneToMany, within the parent.
    :param required_for: battery categories for which the regulation demands the element.
    :param tier: who may see it; one element may be more closed than its row, such as a document.
    :param supplier: who has to supply it: maker, operator, laboratory or recycler; empty for whoever supplies its parent.
    :param source: dotted name of where the value comes from; empty where nothing gives it.
    :param conversion: name of the conversion from source to value; empty for none.
    :param minimum: smallest plausible value.
    :param maximum: greatest plausible value.
    :param note: what deviates from the template and why, or why there is no source.
    """

    path: str
    kind: str
    semantic_id: str
    supplemental_semantic_ids: tuple[str, ...]
    value_type: str
    unit: str
    cardinality: str
    required_for: frozenset[str]
    tier: Tier
    supplier: str
    source: str
    conversion: str
    minimum: float | None
    maximum: float | None
    note: str

    @cached_property
    def id_short(self) -> str | None:
        """The last step of the path; ``None`` for a member of a list, which carries no idShort."""
        return None if self.path.endswith("]") else self.path.rpartition(".")[2]

    @cached_property
    def source_steps(self) -> tuple[str, str]:
        """The first step of the source, and the rest of it."""
        head, _, tail = self.source.partition(".")
        return head, tail

    @cached_property
    def is_container(self) -> bool:
        """Whether the element holds elements instead of a value."""
        return self.kind in {"Submodel", "SMC", "SML"}

    def is_mandatory(self, category: str) -> bool:
        """Tell whether a battery of this category must have the element once its parent is there."""
        return self.cardinality in {"One", "OneToMany"} or category in self.required_for

    def fault(self, number: float) -> str | None:
        """Say why a number cannot be this element's value, or ``None`` if it can.

        :param number: the value in the row's unit, before rounding.
        """
        unit = f" {self.unit}" if self.unit else ""
        if self.minimum is not None and number < self.minimum:
            return f"{number:g}{unit} is implausible: below {self.minimum:g}{unit}"
        if self.maximum is not None and number > self.maximum:
            return f"{number:g}{unit} is implausible: above {self.maximum:g}{unit}"
        if self.value_type == "xs:float" and abs(number) > _FLOAT_MAXIMUM:
            return f"{number:g}{unit} does not fit into xs:float"
        if self.conversion == "whole_number" and number != int(number):
            return f"{number:g}{unit} is no whole number, which the template demands"
        return None


@dataclass(frozen=True)
class Part:
    """One submodel of the passport, as its table describes it.

    :param segment: last step of the submodel's id, such as ``technical-data``.
    :param version: version of the template.
    :param rows: the table; the first row is the submodel itself.
    """

    segment: str
    version: str
    rows: tuple[Row, ...]

    @property
    def submodel(self) -> Row:
        """The row of the submodel itself."""
        return self.rows[0]

    @property
    def is_of_model(self) -> bool:
        """Whether all batteries of a model share this part."""
        return self.submodel.source == "model"

    @cached_property
    def by_path(self) -> dict[str, Row]:
        """Rows by their path."""
        return {row.path: row for row in self.rows}

    def supplier_of(self, path: str) -> str:
        """Return who has to supply the element of a row's path."""
        row = self.by_path[path]
        return row.supplier or self.supplier_of(parent_path(path))

    @cached_property
    def children(self) -> dict[str, tuple[Row, ...]]:
        """Rows directly below a path, in the table's order."""
        below: dict[str, list[Row]] = {}
        for row in self.rows[1:]:
            below.setdefault(parent_path(row.path), []).append(row)
        return {path: tuple(rows) for path, rows in below.items()}


@dataclass(frozen=True)
class Concept:
    """The meaning of one of our own semantic ids, as a concept description gives it."""

    semantic_id: str
    english_name: str
    german_name: str
    english_definition: str
    german_definition: str
    unit: str
    data_type: str


@lru_cache(maxsize=8192)  # the same paths stand in every passport
def parent_path(path: str) -> str:
    """Return the path of the element that holds the one at this path; empty for a submodel."""
    return path[: path.rindex("[")] if path.endswith("]") else path.rpartition(".")[0]


@lru_cache(maxsize=8192)
def row_path(path: str) -> str:
    """Return the table's path for a concrete one: every index becomes ``[]``."""
    return re.sub(r"\[\d+\]", "[]", path)


def is_visible(tier: Tier, to: Tier) -> bool:
    """Tell whether a reader of tier ``to`` may see an element of the tier."""
    return RANKS[tier] <= RANKS[to]


@cache
def parts() -> tuple[Part, ...]:
    """Return the newest version of every part, in the order of the tables' names.

    :raises PassportError: a table contradicts itself; the message names the row.
    """
    newest: dict[str, Part] = {}
    for name, text in sorted(_tables()):
        match = _TABLE_NAME.fullmatch(name)
        if match is None:
            continue
        part = Part(match["part"].replace("_", "-"), match["version"], _read_rows(name, text))
        known = newest.get(part.segment)
        if known is None or _numbers(known.version) < _numbers(part.version):
            newest[part.segment] = part
    return tuple(newest.values())


@cache
def part_of(id_short: str) -> Part:
    """Return the part whose submodel has this idShort."""
    return next(part for part in parts() if part.submodel.id_short == id_short)


@cache
def concepts() -> dict[str, Concept]:
    """Return the concepts behind our own semantic ids, by id."""
    text = dict(_tables())["concepts.csv"]
    return {row["semantic_id"]: Concept(**row) for row in csv.DictReader(io.StringIO(text))}


def _tables() -> Iterator[tuple[str, str]]:
    folder = files("battery_pilot.passport") / "tables"
    for file in folder.iterdir():
        if file.name.endswith(".csv"):
            yield file.name, file.read_text(encoding="utf-8")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _read_rows(name: str, text: str) -> tuple[Row, ...]:
    rows: dict[str, Row] = {}
    for line, record in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        try:
            row = _row(record)
            _check(row, rows)
        except (KeyError, ValueError, PassportError) as error:
            raise PassportError(f"mapping table {name}, line {line}: {error}; correct the row") from error
        rows[row.path] = row
    return tuple(rows.values())


def _row(record: dict[str, str]) -> Row:
    return Row(
        path=record["path"],
        kind=record["kind"],
        semantic_id=record["semantic_id"],
        supplemental_semantic_ids=tuple(record["supplemental_semantic_ids"].split()),
        value_type=record["value_type"],
        unit=record["unit"],
        cardinality=record["cardinality"],
        required_for=frozenset(record["required_for"].split()),
        tier=Tier(record["tier"]),
        supplier=record["supplier"],
        source=record["source"],
        conversion=record["conversion"],
        minimum=float(record["minimum"]) if record["minimum"] else None,
        maximum=float(record["maximum"]) if record["maximum"] else None,
        note=record["note"],
    )


def _check(row: Row, above: dict[str, Row]) -> None:
    """Refuse a row that would break a view: see the messages."""
    if row.kind not in _KINDS:
        raise PassportError(f"kind {row.kind!r} is none of {', '.join(sorted(_KINDS))}")
    if row.path in above:
        raise PassportError(f"path {row.path} stands in the table twice")
    if row.supplier not in SUPPLIERS and (row.supplier or not above):
        raise PassportError(f"supplier {row.supplier!r} is none of {', '.join(SUPPLIERS)}")
    if not above:
        return
    parent = above.get(parent_path(row.path))
    if parent is None or not parent.is_container:
        raise PassportError(f"path {row.path} stands below no container of an earlier row")
    if not is_visible(parent.tier, row.tier):
        raise PassportError(f"{row.path} is more open ({row.tier}) than what holds it ({parent.tier})")
    if row.path.endswith("]") and row.tier is not parent.tier:
        # A view that dropped some members of a list would shift the others and show that something is missing.
        raise PassportError(f"{row.path} has another tier ({row.tier}) than its list ({parent.tier})")
