"""Who owns stdin and stdout while we serve on them: the protocol alone.

The wire is a private duplicate; descriptor 1 itself points at stderr and 0 at the null device, so that neither a stray
print of a library, in Python or in C, nor a child process can tear a message or eat one. Standard library only: it is
taken before anything else is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stdio_wires() -> Iterator[tuple[int, int]]:
    """Descriptors that read what comes to stdin and write to stdout; both are put back at the end."""
    sys.stdout.flush()
    with _claimed(0, os.open(os.devnull, os.O_RDONLY)) as wire_in, _claimed(1, os.dup(2)) as wire_out:
        try:
            yield wire_in, wire_out
        finally:
            sys.stdout.flush()  # what was printed meanwhile goes to stderr too


@contextmanager
def _claimed(descriptor: int, stand_in: int) -> Iterator[int]:
    wire = os.dup(descriptor)
    os.dup2(stand_in, descriptor)
    os.close(stand_in)
    try:
        yield wire
    finally:
        os.dup2(wire, descriptor)
        os.close(wire)
