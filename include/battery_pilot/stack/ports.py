"""Which TCP ports are free."""

from __future__ import annotations

import socket

from battery_pilot.errors import InputError

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return that many different free ports; all are held until the last is found, so none is given twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def demand_free(port: int, purpose: str, remedy: str) -> None:
    """Raise one clear sentence if a port is taken.

    :param port: the port that is wanted.
    :param purpose: what for, for example "Airflow's web UI".
    :param remedy: what the user can do.
    :raises InputError: if something listens there, or the number is none of a port.
    """
    if not 0 < port < 65536:
        raise InputError(f"port {port}, wanted for {purpose}, is no port: choose one between 1 and 65535")
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            raise InputError(f"port {port}, wanted for {purpose}, is taken: {remedy}") from None
