"""The report of a campaign: figures, failures, one picture."""

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.campaign.checker import Verdict
from tests.campaign.crashes import Case, CrashResult
from tests.campaign.keeper import Told
from tests.campaign.report import Campaign, as_json, markdown, picture, write
from tests.campaign.runs import Run, Struck

GOOD = Run(
    3,
    seconds=4.5,
    commands=48,
    messages=51,
    faults=[
        Struck("broker-killed", "", 0.5, 6.0, 1.25, alone=True),
        Struck("link-cut", "", 0.6, 2.0, 5.0, alone=False),
    ],
    conclusions=Counter(succeeded=47, unknown=1),
    verdict=Verdict(unknown=("a-1: service-killed: nobody knows",)),
)
BAD = Run(
    4,
    commands=50,
    messages=50,
    verdict=Verdict(lost=("b-7: no end was told",)),
    evidence=['{"event": "command-received", "command_id": "b-7"}'],
)
CASE = Case("activate", "intent-recorded.after", 1)


def campaign(*runs: Run, **more: object) -> Campaign:
    given: dict[str, object] = {"arguments": {"seed": 3}, "versions": {"rabbitmq": "3.10.8"}}
    return Campaign(**{**given, "seconds": 90.0, "runs": runs, **more})  # type: ignore[arg-type]  # given by name


def test_a_clean_campaign_says_so_in_figures(tmp_path: Path) -> None:
    """Zeros where they belong, and what was done."""
    page = write(campaign(GOOD), tmp_path)
    told = json.loads((tmp_path / "report.json").read_text())
    assert (True, [], [], []) == (told["ok"], told["lost"], told["doubled"], told["failures"])
    assert (48, 51) == (told["commands"], told["messages"])
    assert "Nothing that must not be was found." in page.read_text()
    assert {"report.json", "report.md", "runs.json", "recovery.svg"} == {
        each.name for each in tmp_path.iterdir()
    }


def test_a_failed_schedule_can_be_looked_into(tmp_path: Path) -> None:
    """Its seed, what is wrong and the event log about it are in a file of its own."""
    page = write(campaign(GOOD, BAD), tmp_path)
    story = (tmp_path / "failed-4.txt").read_text()
    assert "b-7: no end was told" in story
    assert '"command_id": "b-7"' in story
    assert "- seed 4: b-7: no end was told" in page.read_text()
    assert ["b-7: no end was told"] == json.loads((tmp_path / "report.json").read_text())["lost"]


def test_unknowns_are_counted_by_their_reason() -> None:
    """And a reason is no failure."""
    told = as_json(campaign(GOOD))
    reasons = {"service-killed: nobody knows": 1}
    assert {"count": 1, "reasons": reasons, "needless": []} == told["unknown"]
    assert told["ok"]


def test_a_needless_unknown_is_explained_by_what_went_wrong_meanwhile() -> None:
    """Each on a line of its own: the command, the reason and the faults that met it."""
    why = "a-1: clock-leapt: too old"
    run = Run(
        7,
        verdict=Verdict(unknown=(why,), needless=(why,)),
        during={"a-1": ["clock-leapt +43200000", "broker-killed"]},
    )
    explained = f"seed 7, {why}, while clock-leapt +43200000, broker-killed"
    assert [explained] == as_json(campaign(run))["unknown"]["needless"]
    assert f"- {explained}" in markdown(campaign(run))
    assert "| unknown, and no write was sent | 1 |" in markdown(campaign(run))


def test_an_unknown_without_a_reason_is_a_failure() -> None:
    """Nothing ends so by itself."""
    run = Run(5, verdict=Verdict(unknown=("c-1: unexplained",)))
    assert ["seed 5: c-1: unexplained"] == campaign(run).failures


def test_what_was_left_out_is_a_failure() -> None:
    """A campaign that does less than it says must not look well."""
    assert ["no clock"] == campaign(GOOD, left_out=["no clock"]).failures
    assert not as_json(campaign(GOOD, left_out=["no clock"]))["ok"]


def test_the_crash_matrix_is_part_of_it() -> None:
    """Its failures, and its recoveries that took too long."""
    results = [
        CrashResult(CASE, recovered_after=0.4),
        CrashResult(CASE, recovered_after=3.5),
        CrashResult(CASE, trouble="was not reached"),
    ]
    told = campaign(crashes=results)
    assert 2 == len(told.failures)
    assert [0.4, 3.5] == told.recoveries["crash-matrix"]
    assert "| crash-matrix | 3 | 2 | 0.40 | 1.95 | 3.50 |" in markdown(told)


def test_only_recoveries_of_their_own_are_counted() -> None:
    """What had something else beside it happened, and that is all."""
    assert {"broker-killed": [1.25]} == campaign(GOOD).recoveries
    page = markdown(campaign(GOOD))
    assert "| broker-killed | 1 | 1 | 1.25 | 1.25 | 1.25 | 5.0 |" in page
    assert "| link-cut | 1 | 0 | - | - | - |  |" in page


def test_the_picture_is_plain_and_whole() -> None:
    """A point for each recovery, a bar for each median and each limit; nothing from elsewhere."""
    drawn = picture({"broker-killed": [0.001, 1.0, 99.0], "link-cut": [2.0]})
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    kinds = Counter(each.tag.rpartition("}")[2] for each in root.iter())
    assert 4 == kinds["circle"]
    assert 3 == drawn.count('stroke-width="2"')
    assert 0 == kinds["script"] + kinds["image"] + drawn.count("href")
    across = [float(each.attrib["cx"]) for each in root.iter() if "cx" in each.attrib]
    assert sorted(across[:3]) == across[:3]
    assert 0 < min(across) < max(across) < 900


def test_a_campaign_without_schedules_is_reported_too() -> None:
    """Whoever asks for none gets a page all the same."""
    assert "| schedules | none |" in markdown(campaign())


def test_a_traceback_in_the_event_log_is_found() -> None:
    """In a field, or as lines that are no event log."""
    told = Told()
    told.add('{"event": "service-ready"}')
    told.add('{"event": "internal-error", "exception": "Traceback ..."}')
    told.add("Traceback (most recent call last):")
    assert 2 == len(told.tracebacks)
    assert ["service-ready", "internal-error"] == [each["event"] for each in told.lines]


def test_an_outage_is_told_once_for_each_connection() -> None:
    """Lost, restored, lost again: each may be told; lost and lost may not."""
    told = Told()
    for slug, connection in (
        ("lost", "consuming"),
        ("lost", "publishing"),
        ("restored", "consuming"),
        ("lost", "consuming"),
        ("lost", "publishing"),
    ):
        told.add(json.dumps({"event": f"broker-connection-{slug}", "connection": connection}))
    assert ["broker-connection-lost was told twice in a row for publishing"] == told.outages()
    assert {"consuming": 2, "publishing": 2} == told.count("broker-connection-lost")


def test_a_new_process_begins_a_new_story() -> None:
    """What the one before it lost is not lost twice."""
    told = Told()
    lost = {"event": "broker-connection-lost", "connection": "consuming"}
    for line in (lost, {"event": "service-starting"}, lost):
        told.add(json.dumps(line))
    assert [] == told.outages()
