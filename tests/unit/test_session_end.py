"""How a session ends: given back when it is not needed any more, and forgotten in any case."""

import pytest

from service.appliances.ports import NotSent
from service.appliances.session import Session, State
from service.appliances.visit import Visit, visit
from service.errors import AnswerLost, Code, Failed, Waiting
from tests.support.clock import Clock
from tests.unit.device import FakeDevice, FakeSecret, open_to


async def test_closing_gives_the_session_back(device: FakeDevice, session: Session[str]) -> None:
    """With what proved it last, and once; what was never opened is not given back."""
    await session.close("stopping")
    session.replace(await session.opened(), "rotated")
    await session.close("stopping")
    await session.close("stopping")
    assert ["rotated"] == [token for token, _ in device.logouts]


@pytest.mark.parametrize(
    "error",
    [
        Failed(Code.UNREACHABLE, "no answer"),
        NotSent("cannot be reached"),
        Waiting(Code.BUSY, "is busy"),
        AnswerLost(Code.UNREACHABLE, "no answer"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_session_that_cannot_be_given_back_is_forgotten_all_the_same(
    device: FakeDevice, session: Session[str], error: Exception
) -> None:
    """It ends by itself, some day."""
    device.logout_error = error
    await session.opened()
    await session.close("stopping")
    assert State.CLOSED is session.state
    assert 1 == len(device.logouts)


async def test_an_idle_session_is_given_back_in_nobodys_name(
    clock: Clock, device: FakeDevice, secret: FakeSecret
) -> None:
    """It is no request of the command that happened to log in."""
    session = open_to(device, secret, idle=600)
    token = visit.set(Visit())
    await session.opened()
    visit.reset(token)

    clock.forward(600)
    await device.left.wait()

    assert [("session-1", None)] == device.logouts
    assert State.CLOSED is session.state
