"""What is shipped is pinned, hashed, listed with its licence, and looked up where that can be."""

import json
import re
import sys
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.supply import audit, licences, sbom
from deploy.supply.audit import Result
from deploy.supply.parts import Part, Pin, canonical, licence_of, parts, pins

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

ROOT: Final = Path(__file__).parents[2]
REQUIREMENTS: Final = sorted(path for path in (ROOT / "deploy").rglob("requirements*.txt"))
PART: Final = Part(Pin("a", "1.0", "", ("0" * 64,)), "MIT", ("b",))
OTHER: Final = Part(Pin("b", "2.0", "", ("1" * 64,)), "unknown", ())
Json = dict[str, Any]


def lines(text: str) -> list[str]:
    """Requirements, with their hashes on one line each."""
    joined = text.replace("\\\n", "")
    return [
        line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def unpinned(text: str) -> list[str]:
    pinned = re.compile(
        r"[A-Za-z0-9._\[\]-]+==\S+(?: ;[^#]*?)?\s+(?:--hash=sha256:[0-9a-f]{64}\s*)+"
    )
    return [line.split()[0] for line in lines(text) if not pinned.fullmatch(line)]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    """pip installs nothing that was not there when somebody looked."""
    assert [] == unpinned(path.read_text("utf-8"))
    assert len(lines(path.read_text("utf-8"))) == len(pins(path))


@pytest.mark.parametrize("line", ["a>=1", "a==1", "-r other.txt", "a @ https://h", "--index-url x"])
def test_a_requirement_that_is_not_hashed_is_found(line: str) -> None:
    """Shown for each way to install something unseen."""
    hashed = "b==1.0 ; python_version < '3.12' \\\n    --hash=sha256:" + "0" * 64
    assert [] == unpinned(hashed)
    assert [line.split(maxsplit=1)[0]] == unpinned(f"# a comment\n{hashed}\n{line}\n")


def test_what_is_installed_is_what_is_pinned() -> None:
    """Each in its version; what is pinned for other platforms only is not looked for."""
    found = parts()
    here = {part.pin.name for part in found}
    assert 50 <= len(found)
    assert {pin.name for pin in pins() if not pin.marker} <= here
    assert {pin.name for pin in pins()} - here <= set(licences.ELSEWHERE)


def test_what_is_not_installed_is_told(tmp_path: Path) -> None:
    """A bill that leaves something out would be believed."""
    (tmp_path / "r").write_text("nobody-has-this==1.0 \\\n    --hash=sha256:" + "0" * 64)
    with pytest.raises(LookupError, match="nobody-has-this is pinned and not installed"):
        parts(tmp_path / "r")
    (tmp_path / "r").write_text("pytest==0.1 \\\n    --hash=sha256:" + "0" * 64)
    with pytest.raises(LookupError, match=r"and 0\.1 is pinned"):
        parts(tmp_path / "r")


def defects(document: Json) -> str:
    return str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) or "")


def test_the_bill_is_cyclonedx() -> None:
    """Valid by its schema, which knows every field; every part has its licence and hashes."""
    document: Json = json.loads(json.dumps(sbom.document(parts(), "1.0")))
    assert "" == defects(document)
    assert {part.pin.name for part in parts()} == {each["name"] for each in document["components"]}
    for each in document["components"]:
        assert each["licenses"][0]["expression"]
        assert each["externalReferences"][0]["hashes"]
    refs = {each["bom-ref"] for each in document["components"]}
    own, *others = document["dependencies"]
    assert refs == set(own["dependsOn"]) == {each["ref"] for each in others}
    assert "pkg:pypi/anyio@" in "".join(
        one for each in others if "/httpx@" in each["ref"] for one in each["dependsOn"]
    )


def test_a_bill_that_is_none_is_found() -> None:
    """The schema that it is held against refuses what it does not know."""
    assert "unexpected" in defects({**sbom.document([PART], "1"), "licence": "MIT"})
    assert "required" in defects({**sbom.document([PART], "1"), "components": [{"name": "a"}]})


def test_the_same_parts_make_the_same_bill(tmp_path: Path) -> None:
    """Whoever builds again can compare; another part is another bill."""
    one, other = sbom.document([PART, OTHER], "1"), sbom.document([PART], "1")
    assert one == sbom.document([PART, OTHER], "1")
    assert one["serialNumber"] != other["serialNumber"]
    assert "licenses" not in json.loads(json.dumps(one))["components"][1]
    sbom.main([str(tmp_path / "sbom.json")])
    assert "CycloneDX" == json.loads((tmp_path / "sbom.json").read_text())["bomFormat"]


def test_every_licence_is_listed_and_allowed() -> None:
    """`make licences` writes the page; a licence that nobody has thought about is refused."""
    found = licences.licences()
    assert licences.page(found) == licences.PAGE.read_text("utf-8")
    assert [] == licences.refused(found)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("Apache-2.0 AND MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR Apache-2.0 AND MIT", True),
        ("AGPL-3.0-or-later", False),
        ("unknown", False),
    ],
)
def test_a_licence_is_allowed_by_its_parts(expression: str, allowed: bool) -> None:
    """Of several to choose from one must be; of those that hold together each."""
    assert ([] if allowed else ["a"]) == licences.refused({"a": expression})


def said(**fields: str) -> Message:
    made = Message()
    for name, value in fields.items():
        made[name.replace("_", "-")] = value
    return made


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        (said(License_Expression="MIT-0", License="other"), "MIT-0"),
        (said(License="BSD-3-Clause"), "BSD-3-Clause"),
        (said(License="Apache 2.0"), "Apache-2.0"),
        (
            said(
                License="a long text (of which the rest follows)",
                Classifier="License :: OSI Approved :: MIT License",
            ),
            "MIT",
        ),
        (said(License="as you like", Classifier="Topic :: Games"), "unknown"),
        (said(), "unknown"),
    ],
)
def test_a_licence_is_read_however_it_is_said(metadata: Message, licence: str) -> None:
    """In SPDX's words; what cannot be told is not guessed."""
    assert licence == licence_of(cast("PackageMetadata", metadata))


def test_a_name_has_one_spelling() -> None:
    """As indexes compare them."""
    assert "zope-interface" == canonical("Zope._Interface")


REPORT: Final = {
    "dependencies": [
        {"name": "a", "version": "1", "vulns": []},
        {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]},
        {"name": "c", "skip_reason": "not found"},
    ]
}


def test_a_known_vulnerability_fails_the_audit() -> None:
    """With the version that mends it, whatever could not be asked about."""
    text, exit_code = audit.told(audit.read(REPORT))
    assert 1 == exit_code
    assert "b 2: PYSEC-1, mended in 3" in text


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Result(63), "63 distributions, no known vulnerability"),
        (Result(62, ["a"]), "NOT ASKED ABOUT: a"),
        (Result(0, ["a", "b"]), "NOT DONE"),
        ("no route to host", "NOT DONE: no route to host"),
    ],
)
def test_what_was_not_looked_up_is_said_aloud(result: Result | str, words: str) -> None:
    """It is no failure, and nobody takes it for a good answer."""
    text, exit_code = audit.told(result)
    assert 0 == exit_code
    assert words in text
    assert ("!!!!" in text) == ("NOT" in words)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import time; time.sleep(60)", "it did not end within 1 s"),
        ("import sys; sys.exit('x\\nno network')", "no network"),
        ("print('[]')", "it said nothing"),
    ],
)
def test_an_audit_that_cannot_be_done_says_why(program: str, why: str) -> None:
    """Whatever the tool does, there is an answer, and in time."""
    assert why == audit.run([sys.executable, "-c", program], patience=1)


def test_what_the_tool_says_is_read() -> None:
    """Its exit code is 1 when it found something; the report decides."""
    program = f"import sys; print({json.dumps(json.dumps(REPORT))}); sys.exit(1)"
    result = audit.run([sys.executable, "-c", program])
    assert isinstance(result, Result)
    assert (1 + 1, ["c"], 1) == (result.audited, result.skipped, len(result.known))
