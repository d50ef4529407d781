"""The gate over whole folders, and its command line: what is compared, recorded and refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy.compatibility.__main__ import main
from deploy.compatibility.gate import findings
from deploy.compatibility.rules import Rule
from deploy.compatibility.versions import contracts, newest, publish, published
from tests.contracts.test_files import ROOT

QUERY: Final = "commands/query-devices"
QUERIED: Final = "events/query-devices.finished"
DEFAULT: Final = '"default": 500'
VERSION: Final = "draft-7"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few contracts, just published."""
    newest_copy = ROOT / "published" / newest(ROOT)
    folder = tmp_path / "contracts"
    for name in (QUERY, QUERIED):
        shutil.copytree(newest_copy / name, folder / name)
    shutil.copy(newest_copy / "asyncapi.yaml", folder)
    publish(folder, VERSION)
    return folder


def recorded(folder: Path) -> dict[str, str]:
    return dict(json.loads((folder / "published" / "digests.json").read_text("utf-8")))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


def broken(folder: Path) -> set[tuple[str, Rule]]:
    return {(each.path, each.rule) for each in findings(folder)}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, from the top of the repository, as `make contracts-check` calls it."""
    command = [sys.executable, "-m", "deploy.compatibility", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT.parent, check=False)


def test_the_tree_is_compatible() -> None:
    """`make contracts-check` ends with 0, and says with what it compared how much."""
    ended = run()
    expected = f"compatible with {newest(ROOT)}: {len(contracts(ROOT))} contracts\n"
    assert (0, expected, "") == (ended.returncode, ended.stdout, ended.stderr)


def test_what_is_found_is_told_and_fails(folder: Path) -> None:
    """Exit code 1, a line each with path, rule and sentence, sorted, and how many there are."""
    change(folder / f"{QUERIED}/v1.schema.json", '"mac": {', '"hardware_address": {')
    change(folder / f"{QUERY}/v1.schema.json", DEFAULT, '"default": 400')
    ended = run("--contracts", str(folder))
    assert 1 == ended.returncode
    assert ended.stdout.splitlines() == [
        f"{QUERY}/v1 /data/limit: default-changed: what an absent field means stays",
        f"{QUERIED}/v1 /data/devices/*/mac: field-removed: a published field stays",
        f"not compatible with {VERSION}; findings: 2",
    ]


def test_a_contract_stays(folder: Path) -> None:
    """A contract, or a major version of one, is not taken away."""
    (folder / f"{QUERIED}/v1.schema.json").rename(folder / f"{QUERIED}/v2.schema.json")
    assert {(f"{QUERIED}/v1", Rule.CONTRACT_REMOVED)} == broken(folder)


def test_new_contracts_and_majors_are_free(folder: Path) -> None:
    """What is told beside what was published is nobody's promise yet."""
    shutil.copytree(folder / QUERIED, folder / "events/query-devices.page")
    shutil.copy(folder / f"{QUERIED}/v1.schema.json", folder / f"{QUERIED}/v2.schema.json")
    assert set() == broken(folder)


@pytest.mark.parametrize(
    ("old", "new", "promise"),
    [
        ("address: courier.query-devices.v1\n", "address: courier.query.v1\n", "address"),
        ("  query-devices.v1:\n    address", "  query.v1:\n    address", "address"),
        ("name: courier.commands", "name: courier.orders", "bindings"),
    ],
)
def test_a_channel_stays(folder: Path, old: str, new: str, promise: str) -> None:
    """Queues are bound to addresses and exchanges, so these are part of the contract."""
    change(folder / "asyncapi.yaml", old, new)
    path = f"asyncapi.yaml /channels/query-devices.v1/{promise}"
    assert (path, Rule.CHANNEL_CHANGED) in broken(folder)


def test_published_examples_are_held_against_the_schemas(folder: Path) -> None:
    """What was shown as valid is valid, whatever the comparison of the schemas says."""
    change(folder / f"{QUERY}/v1.schema.json", '"maximum": 5000', '"maximum": 1')
    assert (f"{QUERY}/v1 /data/limit", Rule.EXAMPLE_REFUSED) in broken(folder)


def test_examples_are_held_against_published_schemas(folder: Path) -> None:
    """A reader of the published version understands new examples of events."""
    example = folder / f"{QUERIED}/v1.examples/fullest.json"
    message = json.loads(example.read_text("utf-8"))
    message["data"] |= {"new": 1, "complete": "yes"}
    example.write_text(json.dumps(message), "utf-8")
    assert {(f"{QUERIED}/v1 /data/complete", Rule.EXAMPLE_UNREADABLE)} == broken(folder)


def test_a_new_field_of_a_command_may_be_shown(folder: Path) -> None:
    """Nobody reads new commands by a published schema, which would refuse them."""
    change(
        folder / f"{QUERY}/v1.schema.json", '"search": {', '"shelf": {"type": "null"}, "search": {'
    )
    change(folder / f"{QUERY}/v1.examples/fullest.json", '"search"', '"shelf": null, "search"')
    assert set() == broken(folder)


@pytest.mark.parametrize(
    "file",
    [f"{QUERIED}/v1.schema.json", f"{QUERIED}/v1.examples/fullest.json", "asyncapi.yaml"],
)
def test_what_was_published_is_frozen(folder: Path, file: str) -> None:
    """No file of a published version changes by as much as a space."""
    copy = folder / "published" / VERSION / file
    copy.write_text(copy.read_text("utf-8") + " ", "utf-8")
    assert {(f"published/{VERSION}", Rule.PUBLISHED_CHANGED)} == broken(folder)


def test_a_published_version_does_not_vanish(folder: Path) -> None:
    """An older version that is gone is missed, and a copy that nobody recorded is found."""
    shutil.move(folder / "published" / VERSION, folder / "published" / "draft-3")
    paths = {f"published/{VERSION}", "published/draft-3"}
    assert {(path, Rule.PUBLISHED_CHANGED) for path in paths} == broken(folder)


@pytest.mark.parametrize("version", published(ROOT))
def test_what_was_published_is_what_the_changelog_tells(version: str) -> None:
    """The entry of a published version names the digest of the schemas that are kept for it."""
    copy = ROOT / "published" / version
    schemas = {
        file.relative_to(copy).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in contracts(copy).values()
    }
    text = json.dumps(schemas, indent=2, sort_keys=True) + "\n"
    entries = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")
    (entry,) = [each for each in entries if each.startswith(version.replace("-", " ") + "\n")]
    assert hashlib.sha256(text.encode()).hexdigest()[:16] in entry


def test_a_version_is_recorded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From then on it is the one to keep, and the ones before it stand as they did."""
    before = recorded(folder)
    assert 0 == main(["--contracts", str(folder), "--publish", "1.0.0"])
    assert 0 == main(["--contracts", str(folder)])
    count = f"{len(contracts(folder))} contracts\n"
    assert f"published 1.0.0: {count}compatible with 1.0.0: {count}" == capsys.readouterr().out
    assert before == {key: value for key, value in recorded(folder).items() if key != "1.0.0"}


def test_versions_come_in_their_order(folder: Path) -> None:
    """Drafts first, and 10 after 9."""
    versions = ["draft-99", "draft-100", "0.9.0", "0.10.0", "1.0.0"]
    for version in versions:
        assert 0 == main(["--contracts", str(folder), "--publish", version])
        assert version == newest(folder)
    assert [VERSION, *versions] == published(folder)


@pytest.mark.parametrize(
    "version", [VERSION, "draft-1", "next", "1.0", "../draft-99", "draft-99\n"]
)
def test_a_version_is_recorded_once(
    folder: Path, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """None is overwritten or put in before another one, and their names have an order."""
    before = recorded(folder)
    assert 1 == main(["--contracts", str(folder), "--publish", version])
    assert version in capsys.readouterr().err
    assert before == recorded(folder)
    assert [VERSION] == published(folder)


def test_a_draft_may_break_with_a_draft(folder: Path) -> None:
    """Until a version is released, publishing is how an incompatible change is made."""
    change(folder / f"{QUERY}/v1.schema.json", DEFAULT, '"default": 400')
    assert 1 == main(["--contracts", str(folder)])
    assert 0 == main(["--contracts", str(folder), "--publish", "draft-99"])
    assert 0 == main(["--contracts", str(folder)])


def test_a_release_is_not_broken_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What breaks with a released version is not published."""
    assert 0 == main(["--contracts", str(folder), "--publish", "1.0.0"])
    change(folder / f"{QUERY}/v1.schema.json", DEFAULT, '"default": 400')
    assert 1 == main(["--contracts", str(folder), "--publish", "1.1.0"])
    assert "default-changed" in capsys.readouterr().out
    assert "1.0.0" == newest(folder)


def test_without_a_published_version_there_is_nothing_to_compare(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That fails as well, and the first version can be recorded."""
    shutil.rmtree(folder / "published")
    assert 1 == main(["--contracts", str(folder)])
    assert "--publish" in capsys.readouterr().err
    assert 0 == main(["--contracts", str(folder), "--publish", "draft-1"])
