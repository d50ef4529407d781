"""What `make requirements` prints: the difference between two lock files."""

import subprocess
from pathlib import Path

import pytest

from deploy.supply import changes
from deploy.supply.changes import committed, table

ONE, OTHER = "0" * 64, "1" * 64


def lock(*requirements: str, digest: str = ONE) -> str:
    return "".join(f"{each} \\\n    --hash=sha256:{digest}\n    # via c\n" for each in requirements)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (lock("a==1", "b==2"), lock("a==1", "b==2"), []),
        ("", lock("a==1"), [("a", "-", "1")]),
        (lock("a==1"), "", [("a", "1", "-")]),
        (lock("a==1", "b==2"), lock("a==1", "b==3"), [("b", "2", "3")]),
        (
            lock("a==1 ; python_version < '3.12'"),
            lock("a==1"),
            [("a", "1 ; python_version < '3.12'", "1")],
        ),
        (lock("a==1"), lock("a==1", digest=OTHER), [("a", "1", "1 (other hashes)")]),
    ],
    ids=["same", "added", "removed", "changed", "other marker", "other hashes"],
)
def test_each_kind_of_change_is_found(
    before: str, after: str, expected: list[tuple[str, str, str]]
) -> None:
    """Comments are no change."""
    assert expected == changes.changes(before, after.replace("via c", "via d"))


def test_the_table_has_a_line_for_each_package() -> None:
    """Old and new versions are columns."""
    assert "deploy/r.txt: no change\n" == table("deploy/r.txt", [])
    rows = [("a", "1.10", "-"), ("long", "-", "2")]
    assert "r:\n  a     1.10 → -\n  long     - → 2\n" == table("r", rows)


def test_the_lock_files_are_compared_with_a_revision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the last commit, in which a new file is not."""
    settings = ("user.name=a", "user.email=a@example.net", "commit.gpgsign=false")
    git = ["git", "-C", str(tmp_path), *(part for each in settings for part in ("-c", each))]
    file = tmp_path / "requirements.txt"
    file.write_text(lock("a==1"))
    with pytest.raises(LookupError, match="no Git revision HEAD"):
        committed(file, "HEAD")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Add"]):
        subprocess.run([*git, *command], check=True)
    file.write_text(lock("a==2"))
    (tmp_path / "requirements-new.txt").write_text(lock("b==1"))
    changes.main("HEAD", tmp_path)
    assert (
        f"{tmp_path.name}/requirements-new.txt:\n  b  - → 1\n"
        f"{tmp_path.name}/requirements.txt:\n  a  1 → 2\n"
    ) == capsys.readouterr().out
