"""What the service is compared with does the same job: its events are those of the contract."""

from service.messages.encode import event_id
from tests.benchmarks.peers.shared import EVENT_TYPE, finished, instant
from tests.support.workflow import Json, command, licence, schema_of


def balance(total: int) -> Json:
    return {"total_sms": total, "used_sms": 20, "available_sms": total - 20}


def activation() -> Json:
    data = {"appliance": "fac-1", "license": licence(7), "dry_run": False}
    return command("activate-sms-license", data, id="order-7")


def test_a_peers_event_is_valid_by_its_contract() -> None:
    """A peer tells as much as the service, so that no peer is fast for what it leaves out."""
    event = finished(activation(), started=instant(), before=balance(100), after=balance(1100))
    schema_of(EVENT_TYPE).validate(event.document)
    assert (1000, "added") == tuple(event.document["data"][it] for it in ("added_sms", "effect"))
    assert "courier.activate-sms-license.finished.v1.succeeded.fac-1" == event.routing_key


def test_a_peers_event_has_the_id_that_the_service_gives_it() -> None:
    """The load generator knows an event by it, whoever told it."""
    asked = activation()
    event = finished(asked, started=instant(), before=balance(100), after=balance(100))
    assert event_id(asked["source"], asked["id"], EVENT_TYPE) == event.id == event.document["id"]
    assert "unchanged" == event.document["data"]["effect"]
