"""Pairs of connectors, provider and consumer, and how the tests deal with them."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.edc_profiles import V3, profile_of
from battery_pilot.services.connectors.model import Counterparty, NegotiationState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from battery_pilot.services.connectors.model import CatalogueEntry

PATIENCE_SECOND = 60
OVERTAKEN = ("cannot be verified", "was told no reason")
EDC_V4_VARIABLES = tuple(
    f"BATTERY_PILOT_TEST_EDC_V4_{name}" for name in ("PROVIDER_URL", "CONSUMER_URL", "PROTOCOL_URL", "API_KEY")
)
EDC_V4_API = "BATTERY_PILOT_TEST_EDC_V4_API"


@dataclass(frozen=True)
class Pair:
    """A provider's and a consumer's connector.

    :param outbox: where the provider's data app finds a file, for connectors that do not take its address.
    :param ends_by_itself: a transfer is over once its file was pushed.
    :param answer: does what the provider's side has to do by itself; ``None`` where its connector does it.
    """

    provider: Any
    consumer: Any
    counterparty: Counterparty
    answer: Callable[[], object] | None = None
    outbox: Path | None = None
    ends_by_itself: bool = False


@contextmanager
def serving(create_app: Callable[..., Any]) -> Iterator[str]:
    """Run a web application in a thread and yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(create_app(base_url=url), log_level="warning", lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + PATIENCE_SECOND
    while not server.started:
        assert thread.is_alive(), "the sandbox did not start"
        assert time.monotonic() < end, "the sandbox did not start in time"
        time.sleep(0.01)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECOND)


def edc(provider: str, consumer: str, protocol: str, api_key: str, **options: Any) -> Pair:
    profile = options.get("profile", V3)
    return Pair(
        EdcConnector(f"{provider}/management", api_key=api_key, participant_id="provider", profile=profile),
        EdcConnector(f"{consumer}/management", api_key=api_key, participant_id="consumer", **options),
        Counterparty("provider", protocol),
        ends_by_itself=options.get("is_push", False),
    )


def sandbox_edc(urls: Any, **options: Any) -> Pair:
    protocol = f"{urls.provider_connector}/protocol/2025-1"
    return edc(urls.provider_connector, urls.consumer_connector, protocol, urls.api_key, **options)


def real_edc_v4(**options: Any) -> Pair:
    profile = profile_of(os.environ.get(EDC_V4_API, "v4beta"))
    return edc(*(os.environ[name] for name in EDC_V4_VARIABLES), profile=profile, **options)


def wait_for(pair, look, *states):
    """Look until a state is reached, the provider answering in between; every wait is bounded."""
    end = time.monotonic() + PATIENCE_SECOND
    while (seen := look()).state not in states:
        assert not seen.state.is_final, seen
        assert time.monotonic() < end, f"still {seen.state} after {PATIENCE_SECOND} s"
        if pair.answer is not None:
            pair.answer()
        time.sleep(0.05)
    return seen


def agree(pair: Pair, entry: CatalogueEntry) -> str:
    """Negotiate until there is an agreement, and return it.

    On a busy machine the consumer's verification overtakes the provider's own note that it agreed, and EDC ends the
    negotiation, now with its reason and now without; another one is the only remedy.
    """
    for _ in range(5):
        negotiation_id = pair.consumer.negotiate(entry)
        end = (NegotiationState.FINALIZED, NegotiationState.TERMINATED)
        found = wait_for(pair, lambda number=negotiation_id: pair.consumer.negotiation(number), *end)
        if found.state is NegotiationState.FINALIZED:
            return str(found.agreement_id)
        assert any(words in found.error for words in OVERTAKEN), found
    raise AssertionError("five negotiations were overtaken")
