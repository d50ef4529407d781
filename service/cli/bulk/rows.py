"""A bulk file becomes rows: every one valid by the command's own model, each with a derived id.

No value of a row is ever told, nor a column's name that no command has: a file without a header row
has a licence there. An id is the UUIDv5, in a namespace of its own, of

    source LF type LF digest            and, from the second attempt on,   LF attempt

where the digest is the SHA-256 (hex) over type and data that the service itself compares repeats
by: keys sorted, defaults left out, a file by its content. So the same row has the same id in every
run, wherever it stands in whichever file.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from service.client import Draft
from service.errors import Rejection
from service.messages.commands import (
    COMMANDS,
    MAX_FILE_BYTES,
    ActivateSmsLicense,
    ApplyVoiceLicense,
    Command,
    QueryDevices,
    decode,
)
from service.messages.wire import masked, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from service.messages.wire import Json

NAMESPACE = uuid.UUID("9f0c7e39-6f0f-4c39-9ad5-6f4d4f1b2c57")
FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_WORDS: dict[str, Json] = {"true": True, "yes": True, "1": True, "false": False, "no": False}
_WORDS["0"] = False


class BadRows(Exception):
    """The file cannot be sent as it stands; nothing was.

    Args:
        lines: what is wrong, one sentence each, with the line's number and without a value.
    """

    def __init__(self, *lines: str) -> None:
        """Keep what is told."""
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Row:
    """A valid row. Nothing that it shows holds a licence.

    Attributes:
        line: where it begins in the file, counted from 1.
        draft: its command, as it is sent the first time.
        digest: see above.
        appliance: where it goes.
        license: what may be told of its licence; None if it has none.
        spends: a digest of its licence: the same for the same one, however it is written.
    """

    line: int
    draft: Draft
    digest: str
    appliance: str
    license: str | None
    spends: str | None

    def attempt(self, number: int) -> Draft:
        """Give the command of an attempt: a new id from the second one on."""
        return replace(self.draft, id=self.id_of(number))

    def id_of(self, attempt: int) -> str:
        """Derive the id of an attempt."""
        again = [str(attempt)] if attempt > 1 else []
        parts = [self.draft.source, f"courier.{self.draft.name}.v1", self.digest, *again]
        return str(uuid.uuid5(NAMESPACE, "\n".join(parts)))


def read(
    file: Path, form: str | None, name: str, defaults: Mapping[str, Json], source: str
) -> list[Row]:
    """Read a bulk file.

    Args:
        file: its path; `-` is standard input.
        form: csv or jsonl; None goes by the name.
        name: the command that every row is one of.
        defaults: fields for the rows that do not have them.
        source: who asks.

    Raises:
        BadRows: with every mistake in it.
    """
    is_stdin = str(file) == "-"
    form = form or FORMS.get(file.suffix.lower())
    if form is None:
        raise BadRows("say with --format whether it is csv or jsonl")
    try:
        content = sys.stdin.buffer.read() if is_stdin else file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadRows(f"the file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRows("the file is not UTF-8") from None
    reader = _from_csv if form == "csv" else _from_lines
    folder = Path() if is_stdin else file.parent
    rows: list[Row] = []
    mistakes: list[str] = []
    for line, fields in reader(text, name):
        try:
            data = {**defaults, **fields()}
            rows.append(_row(line, name, _filled_in(data, folder), source))
        except _BadRow as error:
            mistakes += [f"line {line}: {why}" for why in error.why]
    mistakes += _twice(rows)
    if mistakes:
        raise BadRows(*mistakes)
    if not rows:
        raise BadRows("the file has no rows")
    return rows


class _BadRow(Exception):
    def __init__(self, *why: str) -> None:
        super().__init__()
        self.why = why


def _from_csv(text: str, name: str) -> Iterator[tuple[int, Callable[[], Mapping[str, Json]]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    kinds = {field: info.annotation for field, info in _model(name).model_fields.items()}
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise BadRows(f"line {line}: is no CSV: {error}") from None
        if cells is None:
            return
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            _check_header(header, kinds, name)
            continue
        yield line, _cells(header, cells, kinds)


def _check_header(header: list[str], kinds: Mapping[str, object], name: str) -> None:
    known = f"the header row names fields of {name} (comma-separated): {', '.join(kinds)}"
    strange = [str(at) for at, field in enumerate(header, 1) if field not in kinds]
    if strange:
        raise BadRows(f"line 1: column {', '.join(strange)} has another name; {known}")
    if len(set(header)) < len(header):
        raise BadRows("line 1: two columns have the same name")


def _cells(
    header: list[str], cells: list[str], kinds: Mapping[str, object]
) -> Callable[[], Mapping[str, Json]]:
    def fields() -> Mapping[str, Json]:
        if len(cells) != len(header):
            raise _BadRow(f"has {len(cells)} cells, the header {len(header)}")
        given = zip(header, (cell.strip() for cell in cells), strict=True)
        return {field: _value(cell, kinds[field]) for field, cell in given if cell}

    return fields


def _value(cell: str, kind: object) -> Json:
    """Read a cell as what its field is; what it cannot be is left to the contract to refuse."""
    if kind is bool:
        return _WORDS.get(cell.lower(), cell)
    if kind is int and cell.isascii() and cell.isdecimal():
        return int(cell[:20])
    return cell


def _from_lines(text: str, _: str) -> Iterator[tuple[int, Callable[[], Mapping[str, Json]]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _json(line)


def _json(line: str) -> Callable[[], Mapping[str, Json]]:
    def fields() -> Mapping[str, Json]:
        try:
            document = parse_json(line.encode())
        except Rejection as error:
            raise _BadRow(*(f"is no JSON: {why}" for _, why in error.errors)) from None
        if not isinstance(document, dict):
            raise _BadRow("must be an object")
        return document

    return fields


def _model(name: str) -> type[ActivateSmsLicense | ApplyVoiceLicense]:
    return COMMANDS[f"courier.{name}.v1"]  # type: ignore[return-value]  # any of them has fields


def _filled_in(data: dict[str, Json], folder: Path) -> dict[str, Json]:
    """Put a licence file in the place of its path, and a list in that of words in a cell."""
    if isinstance(words := data.get("resources"), str):
        data = {**data, "resources": [*words.split()]}
    path = data.get("file")
    if not isinstance(path, str):
        return data
    try:
        with (folder / path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise _BadRow(f"file: cannot be read: {why or 'is no path'}") from None
    if len(content) > MAX_FILE_BYTES:
        raise _BadRow("file: is larger than 1 MiB")
    return {**data, "file": described(Path(path).name, content)}


def described(name: str, content: bytes) -> dict[str, Json]:
    """Put a licence file in the contract's words."""
    return {
        "name": name,
        "content": base64.b64encode(content).decode("ascii"),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _row(line: int, name: str, data: dict[str, Json], source: str) -> Row:
    """Hold a row against what the service would hold it against."""
    draft = Draft(name, data, id="-", source=source)
    try:
        command = decode(json.dumps(draft.document()).encode())
    except Rejection as error:
        raise _BadRow(*(_explained(path, why) for path, why in error.errors)) from None
    if isinstance(command.data, QueryDevices) and command.data.stream:
        raise _BadRow("stream: results in a file have no pages")
    shown, spends = _licence(command)
    row = Row(line, draft, command.digest, command.data.appliance, shown, spends)
    return replace(row, draft=row.attempt(1))


def _explained(path: str, why: str) -> str:
    field = path.removeprefix("/data").strip("/").replace("/", ".")
    return f"{field}: {why}" if field else why


def _licence(command: Command) -> tuple[str | None, str | None]:
    """Give what may be told of a licence, and its digest."""
    data = command.data
    if isinstance(data, ActivateSmsLicense):
        key = data.license.get_secret_value().upper()
        return masked(data.license), hashlib.sha256(key.encode()).hexdigest()
    if isinstance(data, ApplyVoiceLicense):
        content = data.file.content.get_secret_value()
        return data.file.name, hashlib.sha256(content).hexdigest()
    return None, None


def _twice(rows: list[Row]) -> list[str]:
    """Find the rows that say what another one has said before."""
    found, first = [], dict[str, int]()
    for row in rows:
        field = "license" if row.draft.name == "activate-sms-license" else "file"
        before = first.setdefault(row.spends or row.digest, row.line)
        if before != row.line:
            what = f"{field}: the same" if row.spends else "says the same"
            found.append(f"line {row.line}: {what} as in line {before}")
    return found
