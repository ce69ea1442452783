"""Subscriptions of the Orion sandbox: what is asked for, and the notifications that follow a change."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any

import httpx

from battery_pilot.sandbox.network import is_loopback
from battery_pilot.sandbox.orion_query import compiled, represent
from battery_pilot.sandbox.orion_rules import Scope, bad_request, has_forbidden
from battery_pilot.sandbox.orion_updates import instant

if TYPE_CHECKING:
    from battery_pilot.sandbox.orion_updates import Change
    from battery_pilot.sandbox.store import Document, Store

log = logging.getLogger(__name__)

LONGEST_DESCRIPTION = 1024
_TIMEOUT_SECONDS = 5.0


class Notifier:
    """Sends notifications in the background, best effort: a receiver that does not answer is logged and forgotten.

    :param store: the server's documents.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, verify=False)  # noqa: S501 -- http only
        self._tasks: set[asyncio.Task[None]] = set()

    def notify(self, scope: Scope, changes: list[Change]) -> None:
        """Start a notification for each subscription that watches one of the changes."""
        for subscription in self._store.page(kind(scope)):
            entities = [change.entity for change in changes if _fires(subscription, scope, change)]
            if entities:
                task = asyncio.create_task(self._send(scope, subscription, entities))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _send(self, scope: Scope, subscription: Document, entities: list[Document]) -> None:
        notification = subscription["notification"]
        form = notification.get("attrsFormat", "normalized")
        attributes = ",".join(notification.get("attrs", []))
        metadata = ",".join(notification.get("metadata", []))
        data = [represent(entity, options={form}, attributes=attributes, metadata=metadata) for entity in entities]
        headers = {"Ngsiv2-AttrsFormat": form, "Fiware-ServicePath": scope.path}
        if scope.tenant:
            headers["Fiware-Service"] = scope.tenant
        url = notification["http"]["url"]
        try:
            answer = await self._client.post(
                url, json={"subscriptionId": subscription["id"], "data": data}, headers=headers
            )
            outcome: Document = {"lastSuccess": instant(), "lastSuccessCode": answer.status_code}
        except httpx.HTTPError as exception:
            log.warning("notification of subscription %s to %s failed: %s", subscription["id"], url, exception)
            outcome = {"lastFailure": instant(), "lastFailureReason": str(exception)}
        current = self._store.get(kind(scope), subscription["id"])
        if current is not None:
            sent = current["notification"].get("timesSent", 0) + 1
            current["notification"].update(outcome, timesSent=sent, lastNotification=instant())
            self._store.replace(kind(scope), subscription["id"], current)


def create(store: Store, scope: Scope, body: Document) -> str:
    """Keep a new subscription and return its id; refusals as in :func:`_check`."""
    _check(body)
    identifier = secrets.token_hex(12)
    status = body.get("status", "active")
    store.put(kind(scope), identifier, {**body, "id": identifier, "status": status, "servicePath": scope.path})
    return identifier


def change(store: Store, scope: Scope, subscription: Document, body: Document) -> None:
    """Replace the parts of a subscription that a request names; refusals as in :func:`_check`."""
    changed = {**subscription, **body, "id": subscription["id"]}
    _check(changed)
    store.replace(kind(scope), subscription["id"], changed)


def _check(body: Document) -> None:
    """Check a subscription.

    :raises OrionError: 400 for one without entities or without an HTTP address on this machine.
    """
    description = body.get("description", "")
    if has_forbidden(description):
        bad_request("forbidden characters in description")
    if len(description) > LONGEST_DESCRIPTION:
        bad_request("max description length exceeded")
    entities = body.get("subject", {}).get("entities")
    if not isinstance(entities, list) or not entities:
        bad_request("no subject entities specified")
    for entity in entities:
        if not isinstance(entity, dict) or not {"id", "idPattern"} & set(entity):
            bad_request("no entity id/idPattern")
        compiled(entity.get("idPattern", ""))
    url = body.get("notification", {}).get("http", {}).get("url")
    if not isinstance(url, str):
        bad_request("http notification is missing")
    if not is_loopback(url):
        bad_request("Invalid URL: the sandbox notifies http addresses of this machine only")


def kind(scope: Scope) -> str:
    """Return the kind of a tenant's subscriptions in the store."""
    return f"subscription {scope.tenant}"


def public(subscription: Document) -> Document:
    """Return a subscription as Orion shows it."""
    return {name: part for name, part in subscription.items() if name != "servicePath"}


def _fires(subscription: Document, scope: Scope, change: Change) -> bool:
    watched = set(subscription["subject"].get("condition", {}).get("attrs", []))
    return (
        subscription["status"] == "active"
        and subscription.get("expires", "9999") > instant()
        and Scope(scope.tenant, subscription["servicePath"]).covers(scope.path)
        and bool(change.attributes & watched if watched else change.attributes)
        and any(_selects(selector, change.entity) for selector in subscription["subject"]["entities"])
    )


def _selects(selector: dict[str, Any], entity: Document) -> bool:
    if "type" in selector and selector["type"] != entity["type"]:
        return False
    if "typePattern" in selector and not compiled(selector["typePattern"]).search(entity["type"]):
        return False
    if "id" in selector:
        return bool(selector["id"] == entity["id"])
    return compiled(selector["idPattern"]).search(entity["id"]) is not None
