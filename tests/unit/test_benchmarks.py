"""What the benchmarks conclude from figures; the figures themselves are measured elsewhere."""

import base64
import json

import pytest

from tests.benchmarks.appliances import FortiAuthenticator, page
from tests.benchmarks.found import Check, quantile
from tests.benchmarks.guard import Ratios, slower
from tests.benchmarks.limits import pace
from tests.benchmarks.load import Arrival, commands


@pytest.mark.parametrize(
    ("holds", "check"),
    [
        (True, Check("least", [0.5, 0.8, 0.9], 0.8)),
        (False, Check("least", [0.7, 0.79, 0.9], 0.8)),
        (True, Check("most", [1.0, 3.0, 9.0], 3.0, "≤")),
        (False, Check("most", [1.0, 3.1, 9.0], 3.0, "≤")),
        (True, Check("exactly", [1.0, 1.0], 1.0, "=")),
        (False, Check("exactly", [1.0, 1.0, 2.0], 1.0, "=")),
        (True, Check("told only", [7.0])),
    ],
)
def test_a_median_decides_but_an_exact_number_must_come_every_time(
    holds: bool, check: Check
) -> None:
    assert holds == check.holds


def test_a_quantile_is_a_value_that_came() -> None:
    assert 100 == quantile([float(each) for each in range(1, 101)], 0.99)


@pytest.mark.parametrize(("alarm", "cpu"), [(False, 0.41), (True, 0.39)])
def test_the_guard_fails_when_a_fifth_is_lost_of_what_was_recorded(alarm: bool, cpu: float) -> None:
    assert alarm == slower(Ratios(cpu, 0.1), Ratios(0.5, 0.9))


def test_the_pace_leaves_out_the_beginning_and_the_end() -> None:
    ends = [Arrival(number * 0.1 if number < 95 else 1000.0, "", "") for number in range(100)]
    assert 10.0 == pytest.approx(pace(ends, 100))


def test_no_licence_and_no_id_comes_twice_in_different_runs() -> None:
    bodies = [
        json.loads(each.body)
        for run in ("one", "two")
        for each in commands("activate-sms-license", 100, ["fac-1", "fac-2"], run)
    ]
    assert 200 == len({each["data"]["license"] for each in bodies})
    assert 200 == len({each["id"] for each in bodies})


def test_a_benchmarks_appliance_adds_a_licence_once_and_only_with_its_key() -> None:
    played = FortiAuthenticator("fac-1")
    key = base64.b64encode(f"webadmin:{played.password}".encode())
    body = json.dumps({"license": "AAAA-BBBB-CCCC-DDDD-EEEE"}).encode()
    for proof in (key, key, b"another"):
        played.answer(b"POST", b"/api/v1/fortiguardmessages/", b"Basic " + proof, body)
    balance = played.answer(b"GET", b"/api/v1/fortiguardmessages/", b"Basic " + key, b"")
    assert 2000 == json.loads(balance.partition(b"\r\n\r\n")[2])["total_sms"]


def test_a_benchmarks_list_of_phones_is_whole_and_can_be_read() -> None:
    pages = [json.loads(page(1200, start, 500)) for start in (0, 500, 1000)]
    assert [500, 500, 200] == [len(each["collection"]) for each in pages]
    assert [True, True, False] == [each["nextPage"] for each in pages]
