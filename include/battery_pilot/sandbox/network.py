"""Where the sandbox servers listen and what they may reach: this machine only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

HOST = "127.0.0.1"


def is_loopback(url: str) -> bool:
    """Tell whether an address is plain HTTP to this machine.

    The sandbox fetches and posts to addresses that its users hand in (data addresses, call-backs, subscriptions). To
    keep that from becoming a way into the network around it, only ``localhost`` and loopback IP addresses are
    allowed; other names are refused without asking the resolver, whose answer could change between check and use.

    :param url: the address to judge.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
