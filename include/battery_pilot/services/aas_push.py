"""Bringing an AAS server to the state of a fleet with as few requests as that takes, and checking that it is there.

Of each battery only the documents are sent that differ from what was sent last, and of a submodel with few changed values
only these. What several batteries share is sent once. A battery's documents go in order, submodels before the shell;
different batteries go side by side.
"""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from battery_pilot.errors import ServerRefused
from battery_pilot.services.aas_pushed import PushedDocument, PushedTwin
from battery_pilot.services.aas_twin import Sender, Sent, Twin, is_concept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from battery_pilot.services.aas_pushed import PushedStates
    from battery_pilot.services.aas_server import AasServer

log = logging.getLogger(__name__)

T = TypeVar("T")

CHUNK = 64
"""Batteries that are looked at together, and of those that have changed, that are written together: where few have, one by
one would leave the server idle between them."""

SAMPLE = 0.02
"""Share of the batteries whose state on the server is looked at by default; at least one of each chunk."""


@dataclass
class PushCounts:
    """What a push did.

    :param pushed: batteries that were brought to another state.
    :param unchanged: batteries whose state the server has already.
    :param kept_newer: batteries of which it shows a newer state.
    :param refused: batteries with something that it did not take.
    :param attachments: files that it was sent.
    """

    pushed: int = 0
    unchanged: int = 0
    kept_newer: int = 0
    refused: int = 0
    attachments: int = 0


def push_twins(
    server: AasServer,
    states: PushedStates,
    twins: Iterable[Twin],
    *,
    workers: int = 4,
    read_back: float = SAMPLE,
    shown: Callable[[Sequence[Twin]], None] = lambda _: None,
) -> PushCounts:
    """Bring a server to the state of many batteries, never to an older one.

    What the server refuses of one battery does not keep the others back; it is raised at the end. A server that is not
    there stops the work. Either way a second call completes it.

    :param server: the server.
    :param states: what it was sent before.
    :param twins: the batteries; consumed as the server keeps up, so it may be a generator over a whole fleet.
    :param workers: how many requests run at the same time.
    :param read_back: share of the batteries, 0 to 1, that are read back and compared after they were written. Of those that
        are unchanged the same share is looked for; with 1 they are compared too.
    :param shown: told, chunk by chunk, which batteries the server shows in the state given.
    :raises ServerRefused: the server refused something, or shows something else than it took; the message names the first.
    :raises ServerUnavailable: the server does not answer, or is busy for too long.
    """
    push = _Push(server, states, read_back, shown)
    iterator = iter(twins)
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(iterator, CHUNK)):
            push.look_at(pool, chunk)
        push.write(pool)
    log.info("pushed to %s: %s", server.address, asdict(push.counts))
    if push.refusals:
        first = push.refusals[0]
        detail = f"{first.detail} (the first of {len(push.refusals)} refusals of this push)"
        raise ServerRefused(first.method, first.url, first.status, detail)
    return push.counts


def remove_twin(server: AasServer, states: PushedStates, shell_id: str) -> None:
    """Delete a battery's shell and the submodels that belong to it alone; what others share stays."""
    server.delete_shell(shell_id)
    for identifier in sorted(states.owned([shell_id])[shell_id] - {shell_id}):
        server.delete_submodel(identifier)
    states.forget(shell_id)


class _Push:
    """One run over a fleet: its counts, and whether the server was found to have lost something."""

    def __init__(
        self, server: AasServer, states: PushedStates, read_back: float, shown: Callable[[Sequence[Twin]], None]
    ) -> None:
        self.counts = PushCounts()
        self.refusals: list[ServerRefused] = []
        self._server = server
        self._states = states
        self._share = read_back
        self._shown = shown
        self._has_lost = False
        self._waiting: dict[str, Twin] = {}
        self._missed: set[str] = set()

    def look_at(self, pool: ThreadPoolExecutor, twins: Sequence[Twin]) -> None:
        """Find which batteries have changed, and bring the server to their state once there are enough of them."""
        if not self._waiting.keys().isdisjoint(one.shell_id for one in twins):
            self.write(pool)
        known = self._states.twins([twin.shell_id for twin in twins])
        newest = {one.shell_id: one for one in sorted(twins, key=_time)}
        current = [one for one in newest.values() if not _is_older(one, known.get(one.shell_id))]
        self.counts.kept_newer += len(twins) - len(current)
        same = [one for one in current if known.get(one.shell_id, _NONE).digest == one.digest]
        lost = self._lost(pool, same)
        changed = [
            one for one in current if one.shell_id in lost or known.get(one.shell_id, _NONE).digest != one.digest
        ]
        self.counts.unchanged += len(current) - len(changed)
        self._shown([one for one in same if one.shell_id not in lost])
        self._waiting |= {one.shell_id: one for one in changed}
        self._missed |= lost
        if len(self._waiting) >= CHUNK:
            self.write(pool)

    def write(self, pool: ThreadPoolExecutor) -> None:
        """Bring the server to the state of the batteries that were found to have changed."""
        twins, lost = list(self._waiting.values()), self._missed
        self._waiting, self._missed = {}, set()
        for first in range(0, len(twins), CHUNK):
            self._write(pool, twins[first : first + CHUNK], lost)

    def _lost(self, pool: ThreadPoolExecutor, same: Sequence[Twin]) -> set[str]:
        """Return which shells the server does not show any more: of a sample, and of all once one is missing."""
        if self._share >= 1:
            return self._different(pool, same)
        sample = self._sample(same)
        lost = self._missing(pool, sample)
        if lost and not self._has_lost:
            self._note_loss(min(lost))
            looked_for = {one.shell_id for one in sample}
            lost |= self._missing(pool, [one for one in same if one.shell_id not in looked_for])
        return lost

    def _missing(self, pool: ThreadPoolExecutor, twins: Sequence[Twin]) -> set[str]:
        sender = Sender(self._server, {})
        there = pool.map(lambda twin: sender.shows(twin.content.shell), twins)
        return {one.shell_id for one, is_there in zip(twins, there, strict=True) if not is_there}

    def _different(self, pool: ThreadPoolExecutor, twins: Sequence[Twin]) -> set[str]:
        """Return the batteries that the server does not show as it was sent them; each is a refusal and sent again."""
        documents = {one["id"] for twin in twins for one in (*twin.content.own(), *twin.content.concept_descriptions)}
        sender = Sender(self._server, self._states.documents(sorted(documents)))
        results = pool.map(sender.compare, twins)
        found = {one.shell_id: sent.refusal for one, sent in zip(twins, results, strict=True) if sent.refusal}
        if found:
            self.refusals += found.values()
            self._note_loss(min(found))
        return set(found)

    def _note_loss(self, shell_id: str) -> None:
        log.warning(
            "%s no longer shows %s as it was sent: the batteries are looked for one by one",
            self._server.address,
            shell_id,
        )
        self._has_lost = True
        self._states.doubt_shared()

    def _write(self, pool: ThreadPoolExecutor, twins: Sequence[Twin], lost: Collection[str]) -> None:
        own = [one["id"] for twin in twins for one in twin.content.own()]
        known = self._states.documents(own)
        known |= {key: replace(one, digest=None) for key, one in known.items() if one.owner in lost}
        owned = self._states.owned([twin.shell_id for twin in twins])
        sender = Sender(self._server, known)
        self._states.doubt(
            [PushedTwin(one.shell_id, one.as_of, one.known_until, None) for one in twins],
            [
                PushedDocument(one["id"], twin.shell_id, twin.known_until, None)
                for twin in twins
                for one in twin.content.own()
                if sender.needs(one)
            ],
        )
        refused = self._write_shared(pool, twins)
        sampled = {one.shell_id for one in self._sample(twins)}
        results = pool.map(
            lambda one: sender.send(one, frozenset(owned[one.shell_id]), read_back=one.shell_id in sampled), twins
        )
        done: list[tuple[Twin, Sent]] = []
        try:
            done.extend(zip(twins, results, strict=True))
        finally:
            self._keep(done, refused)
        if any(sent.had_lost for _, sent in done) and not self._has_lost:
            self._note_loss(next(twin.shell_id for twin, sent in done if sent.had_lost))
            self._write_shared(pool, twins)

    def _write_shared(self, pool: ThreadPoolExecutor, twins: Sequence[Twin]) -> set[str]:
        """Send what several batteries share, never an older state of it, and return the ids of what was refused."""
        newest = {
            one["id"]: (one, twin.known_until)
            for twin in sorted(twins, key=lambda twin: twin.known_until)
            for one in twin.content.shared()
        }
        files = {value: path for twin in twins for value, path in twin.content.files.items()}
        known = self._states.documents(list(newest))
        sender = Sender(self._server, known)
        present = [one for one, _ in newest.values() if not sender.needs(one)]
        if not self._has_lost and not all(pool.map(sender.shows, self._sample(present))):
            self._note_loss(twins[0].shell_id)
            known = self._states.documents(list(newest))
            sender = Sender(self._server, known)
        wanted = [
            (one, time)
            for one, time in newest.values()
            if sender.needs(one) and (one["id"] not in known or known[one["id"]].known_until <= time)
        ]
        self._states.doubt([], [PushedDocument(one["id"], None, time, None) for one, time in wanted])
        # A shared submodel may use a concept: concepts are sent first.
        refused: set[str] = set()
        for wants_concepts in (True, False):
            group = [pair for pair in wanted if is_concept(pair[0]) is wants_concepts]
            results = pool.map(lambda pair: sender.send_shared(pair[0], pair[1], files), group)
            for (document, _), sent in zip(group, results, strict=True):
                self._states.remember([], sent.documents, ())
                self.counts.attachments += sent.attachments
                if sent.refusal is not None:
                    self.refusals.append(sent.refusal)
                    refused.add(document["id"])
        return refused

    def _keep(self, done: Sequence[tuple[Twin, Sent]], refused: set[str]) -> None:
        """Remember what the server took, also when the work ends early.

        :param refused: shared documents that it did not take; a battery that has one of them is not complete.
        """
        taken = [(twin, sent) for twin, sent in done if sent.refusal is None]
        complete = [
            twin for twin, _ in taken if not refused or refused.isdisjoint(one["id"] for one in twin.content.shared())
        ]
        self._states.remember(
            [PushedTwin(one.shell_id, one.as_of, one.known_until, one.digest) for one in complete],
            [document for _, sent in taken for document in sent.documents],
            [identifier for _, sent in taken for identifier in sent.gone],
        )
        self.counts.attachments += sum(sent.attachments for _, sent in done)
        self.counts.pushed += len(complete)
        self.counts.refused += len(done) - len(complete)
        self.refusals += [sent.refusal for _, sent in done if sent.refusal is not None]
        self._shown(complete)

    def _sample(self, members: Sequence[T]) -> Sequence[T]:
        if self._has_lost or self._share >= 1:
            return members
        least = 1 if members and self._share > 0 else 0
        return random.sample(members, max(round(self._share * len(members)), least))


_NONE = PushedTwin("", "", "", None)


def _time(twin: Twin) -> tuple[str, str]:
    return twin.as_of, twin.known_until


def _is_older(twin: Twin, known: PushedTwin | None) -> bool:
    return known is not None and (known.as_of, known.known_until) > _time(twin)
