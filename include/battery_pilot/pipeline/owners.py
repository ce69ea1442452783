"""Whose the twins are: what one counterparty or battery brought, no other may overwrite."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

import rfc8785

from battery_pilot.errors import PassportError
from battery_pilot.passport.identifiers import shell_id, submodel_id
from battery_pilot.passport.mapping import parts
from battery_pilot.pipeline.contracts import Shared, Twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.passport.reading import ReadPassport
    from battery_pilot.pipeline.contracts import ContractJournal

Document = dict[str, Any]


class Owners:
    """Who brought which shell, battery, model and concept first. Nothing is kept before :meth:`save`.

    :param journal: where it is kept.
    """

    def __init__(self, journal: ContractJournal) -> None:
        self._journal = journal
        self._twins = journal.twins()
        self._shells = {twin.battery_id: twin for twin in self._twins.values()}
        self._shared = journal.shared()
        self._new_twins: list[Twin] = []
        self._new_shared: dict[str, Shared] = {}

    def claim(self, passport: ReadPassport, counterparty_id: str) -> None:
        """Take what a passport brings for its battery and counterparty, all or nothing of it.

        :raises PassportError: part of it is another's, or an id is not one of this battery.
        """
        _demand_own_ids(passport)
        new = Twin(str(passport.shell["id"]), passport.battery_id, counterparty_id)
        for known in (self._twins.get(new.shell_id), self._shells.get(new.battery_id)):
            if known and (known.shell_id, known.battery_id, known.counterparty_id) != (
                new.shell_id,
                new.battery_id,
                counterparty_id,
            ):
                raise PassportError(
                    f"bundle of battery {new.battery_id} with shell {new.shell_id} from {counterparty_id}: "
                    f"shell {known.shell_id} is that of battery {known.battery_id} from {known.counterparty_id}"
                )
        shared = [self._claimed(passport, document, counterparty_id) for document in shared_documents(passport)]
        if new.shell_id not in self._twins:
            self._twins[new.shell_id] = self._shells[new.battery_id] = new
            self._new_twins.append(new)
        changed = {one.identifier: one for one in shared if self._shared.get(one.identifier) != one}
        self._shared |= changed
        self._new_shared |= changed

    def save(self) -> None:
        """Keep what was taken."""
        self._journal.put_twins(self._new_twins)
        self._journal.put_shared(self._new_shared.values())

    def _claimed(self, passport: ReadPassport, document: Document, counterparty_id: str) -> Shared:
        new = Shared(str(document["id"]), counterparty_id, hashlib.sha256(rfc8785.dumps(document)).hexdigest())
        if shell_id(new.identifier.rpartition("/sm/")[0]) in self._twins:
            raise PassportError(f"bundle of battery {passport.battery_id}: {new.identifier} is part of one battery")
        known = self._shared.get(new.identifier)
        if known is None or known.counterparty_id == counterparty_id:
            return new
        if known.sha256 != new.sha256:
            raise PassportError(
                f"bundle of battery {passport.battery_id} from {counterparty_id}: {new.identifier} differs from what "
                f"{known.counterparty_id} brought first: the two must agree on it"
            )
        return known


def shared_documents(passport: ReadPassport) -> Iterator[Document]:
    """Yield the submodels and concept descriptions of a passport that other batteries' passports bring too."""
    yield from (submodel for submodel in passport.submodels if is_shared(submodel, passport))
    yield from passport.concept_descriptions


def is_shared(submodel: Document, passport: ReadPassport) -> bool:
    """Whether a submodel is one of the battery's model; a battery with documents of its own has that part for itself."""
    if submodel.get("idShort") not in _names_of_model_parts():
        return False
    return bool(submodel["id"] != submodel_id(_asset(passport), str(submodel["id"]).rpartition("/")[2]))


@cache
def _names_of_model_parts() -> frozenset[str]:
    return frozenset(str(part.submodel.id_short) for part in parts() if part.is_of_model)


def _demand_own_ids(passport: ReadPassport) -> None:
    """Check that a battery's own ids follow from its asset's, so that a shell stands for all of them."""
    asset = _asset(passport)
    if passport.shell["id"] != shell_id(asset):
        raise PassportError(
            f"bundle of battery {passport.battery_id}: shell {passport.shell['id']} is not that of its asset, "
            f"expected {shell_id(asset)}"
        )
    for submodel in passport.submodels:
        segment = str(submodel["id"]).rpartition("/")[2]
        if not is_shared(submodel, passport) and submodel["id"] != submodel_id(asset, segment):
            raise PassportError(
                f"bundle of battery {passport.battery_id}: submodel {submodel['id']} is not one of asset {asset}"
            )


def _asset(passport: ReadPassport) -> str:
    return str(passport.shell["assetInformation"].get("globalAssetId", ""))
