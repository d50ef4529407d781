"""A bulk file's rows and the file of its results: what is refused, what an id is made of."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from service.cli.bulk.results import Results
from service.cli.bulk.rows import NAMESPACE, BadRows, Row, read
from service.errors import Reason, Rejection
from service.messages.encode import finished_event, rejected_event
from service.messages.wire import Identity, Json, now
from tests.unit.making import DATA, LICENSE, OTHER_LICENSE, command

SMS = "activate-sms-license"
SOURCE = "/courier/cli"
HERE: dict[str, Json] = {"appliance": "fac-1"}


def rows_of(
    text: str,
    folder: Path,
    *,
    name: str = SMS,
    form: str = "csv",
    defaults: dict[str, Json] | None = None,
    source: str = SOURCE,
) -> list[Row]:
    file = folder / f"rows.{form}"
    file.write_text(text, "utf-8")
    return read(file, None, name, HERE if defaults is None else defaults, source)


def mistakes_of(
    text: str,
    folder: Path,
    *,
    name: str = SMS,
    form: str = "csv",
    defaults: dict[str, Json] | None = None,
) -> tuple[str, ...]:
    with pytest.raises(BadRows) as caught:
        rows_of(text, folder, name=name, form=form, defaults=defaults)
    return caught.value.lines


def licence(number: int) -> str:
    return f"AB12-CD34-{number:04d}-EF56-{number:04d}"


def finished(row: Row, conclusion: str = "succeeded", attempt: int = 1) -> bytes:
    """The event that ends a row, as the service would tell it."""
    asked = command(SMS, id=row.id_of(attempt), source=SOURCE)
    effect = {"succeeded": "added", "unknown": "undetermined"}.get(conclusion, "none")
    codes = {"refused": "license-refused", "failed": "unreachable", "unknown": "outcome-unknown"}
    code = codes.get(conclusion)
    at = "2026-01-01T00:00:00.000Z"
    figures = {"total_sms": 100, "used_sms": 0, "available_sms": 100}
    data = {
        "command": {"id": asked.envelope.id, "source": SOURCE, "type": asked.envelope.type},
        "appliance": "fac-1",
        "conclusion": conclusion,
        "attempts": 1,
        "started_at": at,
        "finished_at": at,
        "error": {"code": code, "message": "m", "status": None} if code else None,
        "dry_run": False,
        "license": "****-****-****-****-IJ90",
        "effect": effect,
        "added_sms": {"added": 100, "none": 0}.get(effect),
        "before": {**figures, "total_sms": 0, "available_sms": 0} if effect == "added" else None,
        "after": figures if effect == "added" else None,
    }
    body = json.dumps(data).encode()
    return finished_event(
        asked, source="/courier", conclusion=conclusion, data=body, time=now()
    ).body()


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return rows_of("license\n" + "\n".join(map(licence, range(3))), tmp_path)


def test_an_id_is_derived_from_source_type_and_what_the_row_says(tmp_path: Path) -> None:
    """UUIDv5 over the digest that the service itself tells repeats by; as the docstring says."""
    (row,) = rows_of(f"license\n{LICENSE}\n", tmp_path)
    digest = command(SMS, DATA[SMS]).digest
    text = f"{SOURCE}\ncourier.{SMS}.v1\n{digest}"
    assert str(uuid.uuid5(NAMESPACE, text)) == row.id_of(1) == row.attempt(1).id
    assert str(uuid.uuid5(NAMESPACE, f"{text}\n2")) == row.id_of(2) == row.attempt(2).id
    assert row.draft.data == row.attempt(2).data


def test_the_same_row_has_the_same_id_however_it_is_written(tmp_path: Path) -> None:
    """CSV or JSON, defaults spelled out or not, from the command line or from the row."""
    ways = [
        rows_of(f"license\n{LICENSE}\n", tmp_path),
        rows_of(f"dry_run,license,appliance\nno,{LICENSE},fac-1\n", tmp_path, defaults={}),
        rows_of(f"\ufefflicense , appliance\r\n\r\n {LICENSE} ,\r\n", tmp_path),
        rows_of(json.dumps({"license": LICENSE, "dry_run": False}), tmp_path, form="jsonl"),
    ]
    assert 1 == len({row.draft.id for way in ways for row in way})
    others = [
        rows_of(f"license\n{OTHER_LICENSE}\n", tmp_path),
        rows_of(f"license,dry_run\n{LICENSE},yes\n", tmp_path),
        rows_of(f"license,appliance\n{LICENSE},fac-2\n", tmp_path),
        rows_of(f"license\n{LICENSE}\n", tmp_path, source="/elsewhere"),
    ]
    assert 5 == len({row.draft.id for way in [*others, ways[0]] for row in way})


def test_a_row_wins_over_the_command_line(tmp_path: Path) -> None:
    """Options are for the rows that do not say otherwise; numbers and booleans are read as such."""
    text = "appliance,limit,unassigned_only\n,7,true\nfvc-9,,\n"
    first, second = rows_of(
        text, tmp_path, name="query-devices", defaults={"appliance": "fvc-1", "limit": 3}
    )
    assert {"appliance": "fvc-1", "limit": 7, "unassigned_only": True} == first.draft.data
    assert {"appliance": "fvc-9", "limit": 3} == second.draft.data


def test_every_bad_row_is_told_with_line_and_field_and_no_value(tmp_path: Path) -> None:
    """All of them at once, so that the file is corrected once."""
    lines = [
        "appliance,license,dry_run",
        "fac-1,canary,",
        f"CANARY,{licence(2)},canary",
        "",
        "fac-1,canary",
        '"fac-1',
    ]
    text = "\n".join(lines[:5])
    told = mistakes_of(text, tmp_path, defaults={})
    assert [
        "line 2: license",
        "line 3: appliance",
        "line 3: dry_run",
        "line 5: has 2 cells, the header 3",
    ] == [": ".join(line.split(": ")[:2]) for line in told]
    assert "canary" not in str(told).lower()
    assert "line 6: is no CSV" in mistakes_of("\n".join(lines), tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        (LICENSE, "csv", "line 1: column 1 has another name"),
        ("license,license\n", "csv", "line 1: two columns have the same name"),
        ("license\n", "csv", "no rows"),
        ("", "csv", "no rows"),
        (f'{{"licence": "{LICENSE}"}}', "jsonl", "line 1: has an unknown field"),
        (f'{{"license": "{LICENSE}", "license": "x"}}', "jsonl", "same key twice"),
        (f'"{LICENSE}"', "jsonl", "line 1: must be an object"),
        (f"\n{{{LICENSE}", "jsonl", "line 2: is no JSON"),
        (LICENSE, "txt", "--format"),
    ],
)
def test_a_file_that_is_no_bulk_file_is_refused(
    text: str, form: str, words: str, tmp_path: Path
) -> None:
    """Nothing of it is repeated: where a header should be there may be a licence."""
    told = "\n".join(mistakes_of(text, tmp_path, form=form))
    assert words in told
    assert LICENSE not in told


def test_a_licence_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    """In whatever case, for whatever appliance; so is a query that says the same twice."""
    text = f"license,appliance\n{LICENSE},fac-1\n{OTHER_LICENSE},\n{LICENSE.lower()},fac-2\n"
    assert ("line 4: license: the same as in line 2",) == mistakes_of(text, tmp_path)
    told = mistakes_of("appliance\nfac-1\nfac-1\n", tmp_path, name="query-sms-balance")
    assert ("line 3: says the same as in line 2",) == told


def test_a_licence_file_stands_beside_the_bulk_file(tmp_path: Path) -> None:
    """By its path from there; its content makes the id, and one that cannot be read is bad."""
    folder = tmp_path / "licences"
    folder.mkdir()
    for name, content in (("a.lic", b"one"), ("b.lic", b"two"), ("c.lic", b"one")):
        (folder / name).write_bytes(content)
    (folder / "big.lic").write_bytes(bytes(1024 * 1024 + 1))
    how: dict[str, Any] = {"name": "apply-voice-license", "defaults": {"appliance": "fvc-1"}}
    first, second = rows_of("file\nlicences/a.lic\nlicences/b.lic\n", tmp_path, **how)
    assert {"name": "a.lic", "content": "b25l"}.items() <= dict(first.draft.data["file"]).items()  # type: ignore[arg-type]  # an object, as the line says
    assert ("a.lic", "b.lic") == (first.license, second.license)
    text = "file\nlicences/a.lic\nlicences/c.lic\nlicences/no.lic\nlicences/big.lic\n"
    assert [
        "line 4: file: cannot be read: No such file or directory",
        "line 5: file: is larger than 1 MiB",
        "line 3: file: the same as in line 2",
    ] == list(mistakes_of(text, tmp_path, **how))


def test_a_row_shows_no_more_of_a_licence_than_its_end(rows: list[Row]) -> None:
    """Rows stand in tracebacks and logs of whoever uses them."""
    assert "****-****-****-****-0002" == rows[2].license
    assert licence(2) not in repr(rows)


def test_what_has_an_end_is_not_sent_again(rows: list[Row], tmp_path: Path) -> None:
    """Succeeded, refused, unknown or rejected: a second run begins with what is not there."""
    path = tmp_path / "r"
    with Results.opened(path, rows) as results:
        assert [(row, 1) for row in rows] == results.pending(retry_failed=False)
        results.finish(rows[0], 1, finished(rows[0]))
        results.finish(rows[1], 1, finished(rows[1], "unknown"))
    with Results.opened(path, rows) as results:
        assert [(rows[2], 1)] == results.pending(retry_failed=True)
        rejection = Rejection(Reason.ID_CONFLICT)
        results.finish(rows[2], 1, rejected_event(rejection, Identity(), b"", "/courier").body())
        assert [] == results.pending(retry_failed=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [("succeeded", "added", 100), ("unknown", "undetermined", None)] == [
        (line["conclusion"], line["effect"], line["added_sms"]) for line in lines[:2]
    ]
    assert ("rejected", "id-conflict") == (lines[2]["conclusion"], lines[2]["error"])
    assert [2, 3, 4] == [line["row"] for line in lines]
    assert [row.draft.id for row in rows] == [line["id"] for line in lines]
    assert licence(0) not in path.read_text()


def test_what_failed_is_tried_under_a_new_id_that_a_crash_does_not_change(
    rows: list[Row], tmp_path: Path
) -> None:
    """Written down before it is sent: whoever dies then goes on with the new id, asked or not."""
    path = tmp_path / "r"
    with Results.opened(path, rows[:1]) as results:
        results.finish(rows[0], 1, finished(rows[0], "failed"))
        assert [] == results.pending(retry_failed=False)
        assert [(rows[0], 2)] == results.pending(retry_failed=True)
        results.begin(rows[0], 2)
    for retry_failed in (False, True):
        with Results.opened(path, rows[:1]) as results:
            assert [(rows[0], 2)] == results.pending(retry_failed=retry_failed)
            results.begin(rows[0], 2)
    assert 2 == len(path.read_text().splitlines())
    with Results.opened(path, rows[:1]) as results:
        results.finish(rows[0], 2, finished(rows[0], "failed", attempt=2))
        assert [(rows[0], 3)] == results.pending(retry_failed=True)


def test_a_line_that_was_cut_by_a_crash_is_one_that_was_not_written(
    rows: list[Row], tmp_path: Path
) -> None:
    """The next line does not continue it."""
    path = tmp_path / "r"
    with Results.opened(path, rows) as results:
        results.finish(rows[0], 1, finished(rows[0]))
        results.finish(rows[1], 1, finished(rows[1]))
    path.write_bytes(path.read_bytes()[:-20])
    with Results.opened(path, rows) as results:
        assert [(rows[1], 1), (rows[2], 1)] == results.pending(retry_failed=False)
        results.finish(rows[1], 1, finished(rows[1]))
    assert [2, 3] == [json.loads(line)["row"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("cut", [0, 20])
def test_zeros_at_the_end_are_a_line_that_was_not_written(
    cut: int, rows: list[Row], tmp_path: Path
) -> None:
    """After a loss of power the length of a file may be on disk and its last bytes not."""
    path = tmp_path / "r"
    with Results.opened(path, rows) as results:
        results.finish(rows[0], 1, finished(rows[0]))
        results.finish(rows[1], 1, finished(rows[1]))
    written = path.read_bytes()
    path.write_bytes(written[: len(written) - cut] + b"\0" * 4096)
    with Results.opened(path, rows) as results:
        pending = [(rows[1], 1)] if cut else []
        assert [*pending, (rows[2], 1)] == results.pending(retry_failed=False)
        results.finish(rows[2], 1, finished(rows[2]))
    ended = [1, 3] if cut else [1, 2, 3]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert ended == [line["row"] - rows[0].line + 1 for line in lines]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"license\n{LICENSE}", "is no result file"),
        ("not ours and not ended", "is no result file"),
        ('{"a": 1}\n', "is no result file"),
    ],
)
def test_a_file_that_is_no_result_file_is_left_as_it_is(
    content: str, words: str, rows: list[Row], tmp_path: Path
) -> None:
    """Whoever names the wrong file loses nothing of it."""
    path = tmp_path / "r"
    path.write_text(content)
    with pytest.raises(BadRows, match=words), Results.opened(path, rows):
        pass
    assert content == path.read_text()


def test_the_results_of_another_bulk_file_are_refused(rows: list[Row], tmp_path: Path) -> None:
    """A row that was changed is another one; rows that were added at the end are welcome."""
    path = tmp_path / "r"
    with Results.opened(path, rows) as results:
        results.finish(rows[1], 1, finished(rows[1]))
    head = "license\n" + licence(0)
    other = rows_of(f"{head}\n{OTHER_LICENSE}\n", tmp_path)
    elsewhere = rows_of(f"{head}\n{licence(1)}\n", tmp_path, source="/elsewhere")
    for each in (other, elsewhere, rows[:1]):
        refused = pytest.raises(BadRows, match="belongs to another bulk file")
        with refused, Results.opened(path, each):
            pass
    longer = rows_of("\n".join([head, *map(licence, range(1, 5))]), tmp_path)
    with Results.opened(path, longer) as results:
        assert 4 == len(results.pending(retry_failed=False))


def test_two_runs_do_not_write_one_result_file(rows: list[Row], tmp_path: Path) -> None:
    """The second one is told so, and sends nothing."""
    refused = pytest.raises(BadRows, match="is in use")
    with Results.opened(tmp_path / "r", rows), refused, Results.opened(tmp_path / "r", rows):
        pass


def test_a_list_is_words_in_a_cell(tmp_path: Path) -> None:
    """The resources of an appliance are named with spaces between them."""
    text = "appliance,resources\nfvc-1,FabricWidget FabricVoipStatus\nfvc-2,\n"
    both = rows_of(text, tmp_path, name="query-appliance-status", defaults={})
    assert [["FabricWidget", "FabricVoipStatus"], None] == [
        row.draft.data.get("resources") for row in both
    ]


def test_a_streamed_list_is_no_row(tmp_path: Path) -> None:
    """Its pages would go nowhere."""
    text = "appliance,stream\nfvc-1,no\nfvc-2,yes\n"
    told = mistakes_of(text, tmp_path, name="query-devices", defaults={})
    assert ("line 3: stream: results in a file have no pages",) == told
