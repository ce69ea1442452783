"""What the AAS server of a party shows: passports as twins, and the lake's memory of what it was sent."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from battery_pilot.passport.compiled import canonical_texts
from battery_pilot.passport.identifiers import submodel_id
from battery_pilot.pipeline.attached import pulled_contents
from battery_pilot.services.aas_pushed import PushedStates, file_name
from battery_pilot.services.aas_twin import Content, Document, Twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.documents import Attachment
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


def twin_of(
    passport: Passport, known_until: datetime, content_of: Callable[[Attachment], Path] | None = None
) -> Twin:
    """Return a passport of ours as the twin that the server shall show.

    :param known_until: end of the window that the passport was built for.
    :param content_of: where the content of a file of the passport lies; without it no files go with the twin.
    """
    texts = canonical_texts(passport)
    of_model = passport.identifiers.asset_type

    def content() -> Content:
        return _content(
            json.loads(texts.shell),
            [(_parsed if name.startswith(of_model) else json.loads)(text) for name, text in texts.submodels],
            _parsed(texts.concepts) if texts.concepts else [],
            {one.location: content_of(one) for one in passport.attachments} if content_of else {},
        )

    digest = hashlib.sha256(texts.joined()).hexdigest()
    return Twin(passport.identifiers.shell, _text(passport.as_of), _text(known_until), digest, content)


@lru_cache(maxsize=128)
def _parsed(text: str) -> Any:
    """Parse JSON; what batteries share is parsed once for all of them, so nobody may change it."""
    return json.loads(text)


def twin_of_read(passport: ReadPassport, lake: Lake) -> Twin:
    """Return another party's passport as the twin that the server shall show.

    :param lake: the consumer's, which has the files that came with it.
    """
    return Twin(
        str(passport.shell["id"]),
        _text(passport.as_of),
        "",
        passport.sha256,
        lambda: _content(
            passport.shell,
            passport.submodels,
            passport.concept_descriptions,
            pulled_contents(lake, (value for value in passport.values.values() if isinstance(value, str))),
        ),
    )


def _content(
    shell: Document,
    submodels: Sequence[Document],
    concept_descriptions: Sequence[Document],
    files: Mapping[str, Path],
) -> Content:
    """Tell what belongs to the battery alone: the ids of such submodels follow from that of its asset."""
    asset = str(shell["assetInformation"].get("globalAssetId", ""))
    own: list[Document] = []
    shared: list[Document] = []
    for one in submodels:
        is_own = one["id"] == submodel_id(asset, str(one["id"]).rpartition("/")[2])
        (own if is_own else shared).append(one)
    return Content(shell, own, shared, concept_descriptions, files)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
