"""A party of the data space: its connector and whom it deals with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.model import Counterparty

if TYPE_CHECKING:
    from battery_pilot.services.connectors.base import Connector


@dataclass(frozen=True)
class ConnectorParty:
    """One installation's connector with its settings.

    :param connector: the client.
    :param asset_base_url: where the connector's data plane finds what was released (providers).
    :param counterparty_id: participant to buy from (consumers).
    :param counterparty_url: that participant's protocol address (consumers).
    """

    connector: Connector
    asset_base_url: str | None
    counterparty_id: str | None
    counterparty_url: str | None

    @property
    def counterparty(self) -> Counterparty:
        """The configured counterparty.

        :raises InputError: if none is configured.
        """
        if not self.counterparty_id or not self.counterparty_url:
            raise InputError("the connector's connection needs counterparty_id and counterparty_url in its extra")
        return Counterparty(self.counterparty_id, self.counterparty_url)

    @property
    def outbox_url(self) -> str:
        """The address below which released files are served.

        :raises InputError: if none is configured.
        """
        if not self.asset_base_url:
            raise InputError(
                "the connector's connection needs asset_base_url in its extra: where released files are served"
            )
        return self.asset_base_url.rstrip("/")
