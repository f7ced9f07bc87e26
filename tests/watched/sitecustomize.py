"""Imported by Python processes that a test's process starts: they tell whom they look up and connect to."""

import os
import sys

if "WATCHED_CONNECTIONS" in os.environ:
    _told = os.open(os.environ["WATCHED_CONNECTIONS"], os.O_WRONLY | os.O_APPEND)

    def _tell(event, args):
        if event == "socket.connect" and isinstance(args[1], tuple):
            os.write(_told, f"{args[1][0]} {args[1][1]}\n".encode())
        elif event == "socket.getaddrinfo":
            os.write(_told, f"{args[0]} -\n".encode())

    sys.addaudithook(_tell)
