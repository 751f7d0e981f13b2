"""Ports for processes that have to be told one."""

import socket
from random import SystemRandom

# Below what systems give to outgoing connections and to who asks for any port (from 32768 on Linux, from 49152 elsewhere).
_FIRST, _LAST = 12_000, 32_000
_random = SystemRandom()


def free_port() -> int:
    """One that is free and that the system itself gives to nobody: between this and its use, while a process starts, a port
    that the system chose may go to any connection of any test."""
    while True:
        port = _random.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
