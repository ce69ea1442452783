"""Writing entities in the Orion sandbox: the actions of a batch update and what they change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from battery_pilot.sandbox.orion_rules import OrionError, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.sandbox.store import Document, Store

ACTIONS = ("append", "appendStrict", "update", "delete", "replace")
DEFAULT_TYPE = "Thing"
GEO_TYPES = frozenset({"geo:point", "geo:line", "geo:box", "geo:polygon", "geo:json"})


@dataclass(frozen=True)
class Change:
    """One entity after an update, and what makes a subscription fire.

    :param entity: the entity in normalized form.
    :param attributes: names of the attributes that were created or got another value.
    """

    entity: Document
    attributes: frozenset[str]


class EntityStore:
    """Entities of all tenants and service paths in one store.

    :param store: the server's documents.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, scope: Scope) -> Iterator[Document]:
        """Yield the entities of a scope."""
        for kind in self._kinds(scope):
            yield from self._store.page(kind)

    def find(self, scope: Scope, entity_id: str, entity_type: str | None) -> Document:
        """Return one entity.

        :raises OrionError: 404 when there is none, 409 when the id alone is ambiguous.
        """
        found = self._matches(scope, entity_id, entity_type)
        if not found:
            raise OrionError(
                HTTPStatus.NOT_FOUND, "NotFound", "The requested entity has not been found. Check type and id"
            )
        if len(found) > 1:
            raise OrionError(
                HTTPStatus.CONFLICT,
                "TooManyResults",
                "More than one matching entity. Please refine your query",
            )
        return found[0]

    def create(self, scope: Scope, entity: Document, *, upsert: bool) -> Change:
        """Store a new entity.

        :raises OrionError: 422 when it exists and ``upsert`` is not asked for.
        """
        entity = {"id": entity["id"], "type": entity.get("type", DEFAULT_TYPE), **entity}
        if not upsert and self._store.get(_kind(scope), _key(entity)) is not None:
            raise OrionError(HTTPStatus.UNPROCESSABLE_ENTITY, "Unprocessable", "Already Exists")
        return self._keep(scope, entity, self._store.get(_kind(scope), _key(entity)))

    def apply(
        self, scope: Scope, action: str, entity: Document, *, override_metadata: bool = False, forced: bool = False
    ) -> Change | None:
        """Execute one entity of an update.

        :param scope: tenant and path to write in.
        :param action: one of :data:`ACTIONS`.
        :param entity: the checked entity.
        :param override_metadata: metadata that the request does not name disappear.
        :param forced: every attribute of the request counts as changed.
        :returns: the change, or ``None`` when the entity was deleted.
        :raises OrionError: 404 or 422 when the entity or an attribute is missing, or exists against the action.
        """
        attributes = {name: value for name, value in entity.items() if name not in ("id", "type")}
        if action in ("append", "appendStrict") and not self._matches(scope, entity["id"], entity.get("type")):
            return self.create(scope, entity, upsert=False)
        if not self._matches(scope, entity["id"], entity.get("type")):
            name = f"{entity['id']}/{entity.get('type', '')}"
            raise OrionError(HTTPStatus.NOT_FOUND, "NotFound", f"do not exist: {name} - [entity itself]")
        before = self.find(scope, entity["id"], entity.get("type"))
        if action == "delete":
            return self._delete(scope, before, attributes)
        _check_attributes(action, before, attributes)
        kept = {} if action == "replace" else {name: part for name, part in before.items() if name not in attributes}
        merged = {
            name: value if override_metadata or name not in before else _with_metadata(value, before[name])
            for name, value in attributes.items()
        }
        after = {"id": before["id"], "type": before["type"], **kept, **merged}
        # An attribute keeps its place among the others when it is updated.
        after = {**{name: after[name] for name in before if name in after}, **after}
        return self._keep(scope, after, before, forced=frozenset(attributes) if forced else frozenset())

    def delete(self, scope: Scope, entity_id: str, entity_type: str | None) -> None:
        """Delete an entity; refusals as in :meth:`find`."""
        self._delete(scope, self.find(scope, entity_id, entity_type), {})

    def _delete(self, scope: Scope, before: Document, attributes: Document) -> Change | None:
        if not attributes:
            self._store.delete(_kind(scope), _key(before))
            return None
        _check_attributes("delete", before, attributes)
        return self._keep(scope, {name: part for name, part in before.items() if name not in attributes}, before)

    def _keep(
        self, scope: Scope, after: Document, before: Document | None, forced: frozenset[str] = frozenset()
    ) -> Change:
        if sum(one["type"] in GEO_TYPES for name, one in after.items() if name not in ("id", "type")) > 1:
            raise OrionError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "NoResourcesAvailable",
                "You cannot use more than one geo location attribute when creating an entity.",
            )
        before = before or {}
        names = {
            name
            for name, attribute in after.items()
            if name not in ("id", "type") and _plain(attribute) != _plain(before.get(name))
        } | forced
        now = instant()
        for name in after.keys() - {"id", "type"}:
            after[name] = {**after[name], "dateModified": now if name in names else before[name]["dateModified"]}
        self._store.put(_kind(scope), _key(after), after)
        return Change(after, frozenset(names))

    def _matches(self, scope: Scope, entity_id: str, entity_type: str | None) -> list[Document]:
        prefix = f"{entity_id}\n{entity_type}\n" if entity_type else f"{entity_id}\n"
        return [entity for kind in self._kinds(scope) for entity in self._store.starting_with(kind, prefix)]

    def _kinds(self, scope: Scope) -> list[str]:
        if not scope.path.endswith("/#"):
            return [_kind(scope)]
        prefix = f"entity {scope.tenant} "
        return [kind for kind in self._store.kinds(prefix) if scope.covers(kind.removeprefix(prefix))]


def instant() -> str:
    """Return the present time as Orion writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(attribute: Document | None) -> Document | None:
    """Return an attribute without the time of its last change."""
    return attribute and {name: part for name, part in attribute.items() if name != "dateModified"}


def _kind(scope: Scope) -> str:
    return f"entity {scope.tenant} {scope.path}"


def _key(entity: Document) -> str:
    return f"{entity['id']}\n{entity['type']}\n"


def _check_attributes(action: str, before: Document, attributes: Document) -> None:
    present = [name for name in attributes if name in before]
    missing = [name for name in attributes if name not in before]
    name = f"{before['id']}/{before['type']}"
    if action == "appendStrict" and present:
        raise OrionError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "Unprocessable",
            f"one or more of the attributes in the request already exist: {name} - [ {', '.join(present)} ]",
        )
    if action in ("update", "delete") and missing:
        raise OrionError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "Unprocessable", f"do not exist: {name} - [ {', '.join(missing)} ]"
        )


def _with_metadata(attribute: Document, before: Document) -> Document:
    return {**attribute, "metadata": {**before["metadata"], **attribute["metadata"]}}
