"""The provider's endpoint behind any data-space connector: passports from the outbox, for whoever has a connector's key.

Run it with ``uvicorn --factory battery_pilot.services.data_app:from_environment``.
"""

from __future__ import annotations

from battery_pilot.services.data_app.app import create_app, from_environment

__all__ = ["create_app", "from_environment"]
