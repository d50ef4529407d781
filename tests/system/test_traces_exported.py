"""Where spans go, and what becomes of the service when they cannot go there: nothing."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.telemetry import traces
from tests.support.collector import Collector, collecting, traced
from tests.support.stand import Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import command, working

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("appliances"),
]

SENDER = "cd" * 8
NOBODY = "http://127.0.0.1:1"
LISTED = """
import sys
from service.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(name for name in sys.modules if name.startswith(("opentelemetry", "requests"))))
"""
"""The service, which says at its end what it has imported."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def query(**attributes: str) -> dict[str, Any]:
    return command("query-sms-balance", {"appliance": "fac-1"}, **attributes)


def complaints(service: Service) -> list[str]:
    """Why traces were not exported, and all that a library said."""
    lines = service.events("traces-not-exported") + service.events("library-message")
    return [str(line.get("reason") or line["message"]) for line in lines]


async def test_a_restart_leaves_no_hole_in_a_trace(
    shared_stand: Stand, appliances: Appliances, collector: Collector
) -> None:
    """The drain exports what waits; the next process goes on below the same sender."""
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    program = traced(collector.url, OTEL_SERVICE_NAME="kurier", **slow)
    service = await shared_stand.service(RETRY_DELAYS="3", program=program)
    await appliances.fault("fac-1", action="answer", status=503, times=1)
    async with working(shared_stand.url) as workflow:
        sent = query(traceparent=f"00-{'ab' * 16}-{SENDER}-01")
        await workflow.send(sent)
        await until(lambda: service.events("command-delayed"))
        assert [] == collector.spans
        assert 0 == await service.end()
        assert {"kurier"} == {each.resource["service.name"] for each in collector.spans}
        (first,) = [each for each in collector.spans if each.kind == "CONSUMER"]
        assert (SENDER, True) == (first.parent, first.failed)

        # Whoever has no sender is not sampled now, and whose sender was sampled is.
        sampler = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
        resource = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=courier-2,deployment.name=lab"}
        again = await shared_stand.service(
            program=traced(collector.url, **slow, **sampler, **resource)
        )
        alone = query()
        await workflow.send(alone)
        await workflow.answer(alone["id"])
        await workflow.answer(sent["id"])
        assert 0 == await again.end()
    spans = [each for each in collector.spans if each.resource["service.name"] == "courier-2"]
    assert {("ab" * 16, "lab")} == {
        (each.trace, each.resource["deployment.name"]) for each in spans
    }
    assert [SENDER] == [each.parent for each in spans if each.kind == "CONSUMER"]
    assert [] == complaints(service) + complaints(again)
    shared_stand.canaries.check(collector.told())


async def test_a_collector_in_trouble_is_told_once_until_it_works_again(
    shared_stand: Stand, collector: Collector
) -> None:
    """One line for each time that it begins, whatever the libraries would say about it."""
    service = await shared_stand.service(program=traced(collector.url))
    async with working(shared_stand.url) as workflow:

        async def export(answer: int) -> None:
            collector.answer = answer
            before, sent = collector.asked, query()
            await workflow.send(sent)
            heard = await workflow.answer(sent["id"])
            assert "succeeded" == heard.data["conclusion"]
            await until(lambda: collector.asked > before)

        for answer in (400, 400, 200, 403):
            await export(answer)
        await until(lambda: len(complaints(service)) == 2)
        await service.end()
    assert ["the collector answered 400", "the collector answered 403"] == complaints(service)


async def test_a_collector_that_is_down_keeps_nothing_waiting(shared_stand: Stand) -> None:
    """Commands are answered as ever, and the drain takes no more than two seconds longer."""
    service = await shared_stand.service(program=traced(NOBODY))
    async with working(shared_stand.url) as workflow:
        sent = query()
        await workflow.send(sent)
        assert "succeeded" == (await workflow.answer(sent["id"])).data["conclusion"]
        began = time.monotonic()
        assert 0 == await service.end()
        assert 6 > time.monotonic() - began, "OpenTelemetry itself would go on for longer"
    assert ["the last spans were not taken within 1 s"] == complaints(service)


@pytest.mark.parametrize(
    ("sampler", "least", "most"), [("", 100, 120), ("always_on", 150, 150), ("always_off", 0, 0)]
)
async def test_how_many_traces_are_recorded_is_up_to_the_environment(
    sampler: str, least: int, most: int, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not say, a pace is kept."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    async with traces.exported():
        for _ in range(150):
            with traces.delivery("process", None, {}), traces.span("work"):
                pass
    assert least <= len(collector.spans) // 2 <= most
    assert 2 * len({span.trace for span in collector.spans}) == len(collector.spans)


async def test_variables_that_make_no_sense_are_said_at_the_start(shared_stand: Stand) -> None:
    """Nothing is consumed: traces that somebody wanted and does not get are a surprise."""
    program = traced(NOBODY, OTEL_BSP_MAX_QUEUE_SIZE="-1")
    service = await shared_stand.service(ready=False, program=program)
    assert 1 == await service.ended()
    (refused,) = service.events("start-refused")
    assert "OTEL_ variables: ValueError" == refused["reason"]


async def test_whoever_configures_no_exporter_pays_nothing(shared_stand: Stand) -> None:
    """OpenTelemetry is not even imported, and an event has the command's own trace."""
    service = await shared_stand.service(program=(sys.executable, "-c", LISTED))
    async with working(shared_stand.url) as workflow:
        sent = query(traceparent=f"00-{'ab' * 16}-{SENDER}-01")
        await workflow.send(sent, query())
        heard = await workflow.answer(sent["id"])
        assert sent["traceparent"] == heard.event["traceparent"]
        await service.end()
    # FastStream looks for a package in it, which imports these two, empty as they are.
    assert "opentelemetry opentelemetry.semconv" == service.lines[-1]
