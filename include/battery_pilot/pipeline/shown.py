"""What the AAS server of a party shows: passports as twins, and the lake's memory of what it was sent."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING

from battery_pilot.passport.aas import concept_description_dicts, passport_sha256, submodel_dicts
from battery_pilot.passport.identifiers import submodel_id
from battery_pilot.passport.shell import shell_dict
from battery_pilot.services.aas_pushed import PushedStates, file_name
from battery_pilot.services.aas_twin import Content, Document, Twin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from battery_pilot.lake import Lake
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.reading import ReadPassport
    from battery_pilot.services.aas_server import AasServer


@contextmanager
def pushed_states(lake: Lake, server: AasServer) -> Iterator[PushedStates]:
    """Open the lake's memory of what a server was sent."""
    states = PushedStates(lake.file("pushed", file_name(server.address)))
    try:
        yield states
    finally:
        states.close()


def twin_of(passport: Passport, known_until: datetime) -> Twin:
    """Return a passport of ours as the twin that the server shall show.

    :param known_until: end of the window that the passport was built for.
    """
    return Twin(
        passport.identifiers.shell,
        _text(passport.as_of),
        _text(known_until),
        passport_sha256(passport),
        lambda: _content(
            shell_dict(passport),
            submodel_dicts(passport),
            concept_description_dicts(passport),
        ),
    )


def twin_of_read(passport: ReadPassport) -> Twin:
    """Return another party's passport as the twin that the server shall show."""
    return Twin(
        str(passport.shell["id"]),
        _text(passport.as_of),
        "",
        passport.sha256,
        lambda: _content(passport.shell, passport.submodels, passport.concept_descriptions),
    )


def _content(shell: Document, submodels: Sequence[Document], concept_descriptions: Sequence[Document]) -> Content:
    """Tell what belongs to the battery alone: the ids of such submodels follow from that of its asset."""
    asset = str(shell["assetInformation"].get("globalAssetId", ""))
    own = [one for one in submodels if one["id"] == submodel_id(asset, str(one["id"]).rpartition("/")[2])]
    shared = [one for one in submodels if one not in own]
    return Content(shell, own, shared, concept_descriptions)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
