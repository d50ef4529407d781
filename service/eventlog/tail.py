"""Reads a log that may still be written: a file to its end and beyond, or what comes by a pipe."""

from __future__ import annotations

import os
import select
import sys
from io import UnsupportedOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE = 0.2
"""Seconds between two looks at a file that is followed."""
LONGEST = 1024 * 1024
"""Bytes of a line; a longer one comes in parts."""
_CHUNK = 64 * 1024
_LOOKED_AT = 1024
"""Bytes at the beginning that tell a text from a program's file."""


class NotText(Exception):
    """What was given to be read is no log."""


def batches(path: str, *, follow: bool) -> Iterator[list[str]]:
    """Read lines, as many at once as there are.

    Args:
        path: a file; `-` is standard input.
        follow: go on at the file's end, and with the file that takes its place when it is rotated
            or cut off. A pipe is followed until it is closed, in any case.

    Yields:
        Lines without their ends; none when nothing has come for a while.

    Raises:
        NotText: it is no text.
        OSError: it cannot be read.
        BrokenPipeError: nobody reads what we write any more.
    """
    if path == "-":
        yield from _checked(_pipe(sys.stdin.fileno()))
        return
    descriptor = os.open(path, os.O_RDONLY)
    yield from _checked(_followed(path, descriptor) if follow else _whole(descriptor))


def _checked(chunks: Iterator[bytes | None]) -> Iterator[list[str]]:
    """Cut chunks into lines. None ends a line that has no end: its file is over."""
    is_begun, pending = False, b""
    for chunk in chunks:
        if chunk is None:
            whole, pending = [pending] if pending else [], b""
        else:
            # A file that was cut off under its writer begins with zeros.
            if not is_begun and b"\0" in chunk.lstrip(b"\0")[:_LOOKED_AT]:
                raise NotText
            is_begun |= bool(chunk)
            *whole, pending = (pending + chunk).split(b"\n")
        if len(pending) > LONGEST:
            whole, pending = [*whole, pending], b""
        yield [each for line in whole if (each := _text(line))]


def _text(line: bytes) -> str:
    return line.lstrip(b"\0").decode("utf-8", "backslashreplace").rstrip("\r")


def _whole(descriptor: int) -> Iterator[bytes | None]:
    try:
        while chunk := os.read(descriptor, _CHUNK):
            yield chunk
        yield None
    finally:
        os.close(descriptor)


def _pipe(descriptor: int) -> Iterator[bytes | None]:
    ends = _Ends(descriptor)
    while True:
        if not ends.wait(PAUSE):
            yield b""
        elif chunk := os.read(descriptor, _CHUNK):
            yield chunk
        else:
            yield None
            return


def _followed(path: str, descriptor: int) -> Iterator[bytes | None]:
    ends = _Ends()
    try:
        while True:
            successor = _successor(path, descriptor)
            # What was written before it was replaced is read before its successor.
            while chunk := os.read(descriptor, _CHUNK):
                yield chunk
            if successor is not None:
                yield None
                os.close(descriptor)
                descriptor = successor
            elif os.lseek(descriptor, 0, os.SEEK_CUR) > os.fstat(descriptor).st_size:
                yield None
                os.lseek(descriptor, 0, os.SEEK_SET)
            else:
                yield b""
                ends.wait(PAUSE)
    finally:
        os.close(descriptor)


def _successor(path: str, descriptor: int) -> int | None:
    """Open the file that has the name now, if it is another; while none has it, go on."""
    try:
        there = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    if os.path.samestat(os.fstat(there), os.fstat(descriptor)):
        os.close(there)
        return None
    return there


class _Ends:
    """Waits for input, and notices at once when nobody reads the output any more."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._poll, self._output = select.poll(), -1
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLIN)
        try:
            self._output = sys.stdout.fileno()
            self._poll.register(self._output, 0)
        except UnsupportedOperation:
            pass

    def wait(self, seconds: float) -> bool:
        """Wait; tell whether there is input.

        Raises:
            BrokenPipeError: the output is closed.
        """
        found = dict(self._poll.poll(seconds * 1000))
        if found.pop(self._output, 0):
            raise BrokenPipeError
        return bool(found)
