"""The indexes that a large fleet needs in Orion's MongoDB, and that Orion does not make itself.

Without them Orion looks through every entity of a tenant for each entity of a batch: a first sync of a fleet then takes
time with the square of its size.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

# This module is loaded only where the command runs.
from pymongo import ASCENDING, MongoClient
from pymongo.errors import ConnectionFailure, PyMongoError

from battery_pilot.errors import InputError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

SELECTION_TIMEOUT_MILLISECOND = 10_000
ENTITIES = "entities"
INDEXES: dict[str, tuple[str, ...]] = {
    # One entity, and many by their ids: Orion asks for those with an $or over id and type.
    "battery_pilot_identity": ("_id.id", "_id.type", "_id.servicePath"),
    # All of a type, page by page: Orion sorts by the time of creation.
    "battery_pilot_listing": ("_id.servicePath", "_id.type", "creDate"),
}
"""Names of the indexes of the collection of entities, with their fields."""


class MongoUnavailable(TransientError):
    """Orion's database cannot be reached now."""


def create_indexes(uri: str, services: Iterable[str] = (), *, database: str = "orion") -> dict[str, list[str]]:
    """Create the indexes where they are missing; done twice it changes nothing.

    :param uri: connection string of the MongoDB, with the credentials.
    :param services: tenants (``Fiware-Service``), each of which has a database of its own; none means the default one.
    :param database: Orion's ``-db``.
    :return: database to the names of the indexes that it has now.
    :raises MongoUnavailable: the server cannot be reached.
    :raises InputError: the server refuses, for example the credentials.
    """
    names = [f"{database}-{service}" for service in services] or [database]
    try:
        with MongoClient[Any](uri, serverSelectionTimeoutMS=SELECTION_TIMEOUT_MILLISECOND) as client:
            return {name: _create(client[name][ENTITIES]) for name in names}
    except ConnectionFailure as error:
        raise MongoUnavailable(f"the MongoDB of Orion cannot be reached: {error}") from error
    except PyMongoError as error:
        raise InputError(f"the MongoDB of Orion refuses: {error}") from error


def _create(collection: Any) -> list[str]:
    for name, fields in INDEXES.items():
        collection.create_index([(field, ASCENDING) for field in fields], name=name)
    log.info("%s has the indexes %s", collection.full_name, ", ".join(INDEXES))
    return sorted(collection.index_information())
