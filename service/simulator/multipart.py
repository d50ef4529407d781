"""Forms with files (RFC 7578), read strictly, so that a file's bytes are exactly those sent."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import HTTP
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.simulator.wire import Call


@dataclass(frozen=True, slots=True)
class Part:
    """One part; a field has no file name."""

    name: str
    file_name: str | None
    content: bytes


def parts(call: Call) -> list[Part]:
    """Return the parts of a form in their order, nothing when it is no well-formed form."""
    kind = f"Content-Type: {call.headers.get('Content-Type', '')}\r\n\r\n"
    header = BytesHeaderParser(policy=HTTP).parsebytes(kind.encode(errors="replace"))
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        return []
    # The line break before a boundary belongs to the boundary (RFC 2046, 5.1.1).
    preamble, *pieces = (b"\r\n" + call.body).split(b"\r\n--" + boundary.encode())
    if preamble or not pieces or pieces.pop().rstrip() != b"--":
        return []
    found = [_part(piece) for piece in pieces]
    return [] if None in found else [part for part in found if part is not None]


def _part(piece: bytes) -> Part | None:
    head, blank, content = piece.partition(b"\r\n\r\n")
    header = BytesHeaderParser(policy=HTTP).parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
    name = header.get_param("name", header="Content-Disposition")
    file_name = header.get_filename()
    if not blank or not isinstance(name, str):
        return None
    return Part(name, file_name, content)
