"""One login for all who wait, renewed once, and never a loop of logins."""

import asyncio
import time

import pytest

from service.appliances.answers import Answer
from service.appliances.credentials import CredentialsRefused
from service.appliances.ports import NotSent, Superseded
from service.appliances.session import Opened, Session, State
from service.appliances.visit import Visit, visit
from service.errors import Code, Failed, Refused, Waiting
from tests.support.clock import Clock
from tests.unit.device import NO, OK, FakeDevice, FakeSecret, open_to


async def waiting_for(
    device: FakeDevice, session: Session[str], number: int
) -> list["asyncio.Task[Opened[str]]"]:
    """Callers who have all asked for the session before the login has its answer."""
    device.gate.clear()
    tasks = [asyncio.create_task(session.opened()) for _ in range(number)]
    await device.asked.wait()
    return tasks


async def test_all_who_wait_share_one_login(device: FakeDevice, session: Session[str]) -> None:
    """Fifty commands at a closed session log in once."""
    tasks = await waiting_for(device, session, 50)
    device.gate.set()
    opened = await asyncio.gather(*tasks)
    assert ["right"] == device.logins
    assert {id(opened[0])} == {id(each) for each in opened}


async def test_somebody_elses_login_is_not_waited_for_in_memory_for_long(
    clock: Clock, device: FakeDevice, session: Session[str]
) -> None:
    """Five seconds, and who only waits goes to a retry queue; the login itself goes on."""
    first, *others = await waiting_for(device, session, 3)
    clock.forward(5.1)
    for each in others:
        with pytest.raises(Waiting) as caught:
            await each
        assert Code.BUSY == caught.value.code
    device.gate.set()
    assert "session-1" == (await first).token
    assert ["right"] == device.logins


async def test_an_open_session_is_used_again(device: FakeDevice, session: Session[str]) -> None:
    """A login is for the session's life, not for a request."""
    for _ in range(3):
        assert OK == (await session.call("read", device.send)).status
    assert ["session-1"] * 3 == device.requests
    assert ["right"] == device.logins


async def test_a_lost_session_is_renewed_once_for_all(
    device: FakeDevice, session: Session[str]
) -> None:
    """When the appliance forgets the session, everybody's request is sent again after one login."""
    await session.opened()
    device.valid.clear()
    answers = await asyncio.gather(*(session.call("read", device.send) for _ in range(20)))
    assert {OK} == {answer.status for answer in answers}
    assert ["right"] * 2 == device.logins


async def test_a_late_refusal_ends_no_newer_session(
    device: FakeDevice, session: Session[str]
) -> None:
    """An answer that belongs to an old session says nothing about the one that followed it."""
    old = await session.opened()
    session.give_up(old)
    new = await session.opened()
    session.give_up(old)
    session.replace(old, "stolen")
    assert new is await session.opened()
    assert "session-2" == new.token
    assert ["right"] * 2 == device.logins


async def test_a_restart_that_ends_several_sessions_is_no_missing_permission(
    device: FakeDevice, secret: FakeSecret
) -> None:
    """Those that are opened meanwhile end at once; a moment later one lasts."""
    session = open_to(device, secret, doubt=0.3)
    asyncio.get_running_loop().call_later(0.2, setattr, device, "granting", True)
    device.granting = False
    answers = await asyncio.gather(*(session.call("read", device.send) for _ in range(5)))
    assert [OK] * 5 == [answer.status for answer in answers]
    assert 2 == len(device.logins)


async def test_a_missing_permission_is_told_after_the_moment_by_one_login_for_all(
    device: FakeDevice, secret: FakeSecret
) -> None:
    """However many ask; and those that ask later do not wait."""
    session = open_to(device, secret, doubt=1.0)
    device.granting = False
    for least in (1.0, 0.0):
        began = time.monotonic()
        calls = (session.call("read", device.send) for _ in range(5))
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [Refused] * 5 == [type(end) for end in ends]
        assert 0 <= time.monotonic() - began - least < 1
        assert 2 == len(device.logins)


async def test_permission_that_a_new_session_lacks_too_is_denied(
    device: FakeDevice, session: Session[str]
) -> None:
    """After one renewal a second refusal is the answer: no login heals it."""
    device.granting = False
    with pytest.raises(Refused) as caught:
        await session.call("read", device.send)
    assert (Code.PERMISSION_DENIED, NO) == (caught.value.code, caught.value.status)
    assert ["session-1", "session-2"] == device.requests


async def test_refused_credentials_are_told_to_all_who_wait(
    device: FakeDevice, secret: FakeSecret, session: Session[str]
) -> None:
    """One login is refused, and everyone learns it from that one."""
    secret.text = "wrong"
    tasks = await waiting_for(device, session, 50)
    device.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {CredentialsRefused} == {type(result) for result in results}
    assert ["wrong"] == device.logins


async def test_refused_credentials_are_tried_once(
    device: FakeDevice, secret: FakeSecret, session: Session[str]
) -> None:
    """Repeating a wrong password locks accounts: nobody tries it again within the cool-down."""
    secret.text = "wrong"
    for _ in range(5):
        with pytest.raises(CredentialsRefused) as caught:
            await session.call("read", device.send)
        assert Code.CREDENTIALS_REFUSED == caught.value.code
    assert ["wrong"] == device.logins
    assert [] == device.requests


async def test_a_changed_secret_is_tried_at_once(
    device: FakeDevice, secret: FakeSecret, session: Session[str]
) -> None:
    """Whoever corrects the password need not wait, nor restart anything."""
    secret.text = "wrong"
    with pytest.raises(CredentialsRefused):
        await session.opened()
    secret.text = "right"
    await session.opened()
    assert ["wrong", "right"] == device.logins


async def test_the_cool_down_allows_one_more_attempt(
    device: FakeDevice, secret: FakeSecret
) -> None:
    """The account may have been unlocked: the same secret is tried again, once, after a while."""
    secret.text = "wrong"
    session = open_to(device, secret, cooldown=0)
    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            await session.opened()
    assert ["wrong"] * 2 == device.logins
    device.password = "wrong"
    await session.opened()


async def test_a_success_forgets_the_refusal(device: FakeDevice, secret: FakeSecret) -> None:
    """After a good login an old refusal of the same password says nothing."""
    session = open_to(device, secret)
    secret.text = "later"
    with pytest.raises(CredentialsRefused):
        await session.opened()
    secret.text = "right"
    await session.opened()
    await session.close("stopping")
    device.password = secret.text = "later"
    await session.opened()
    assert ["later", "right", "later"] == device.logins


async def test_a_password_that_cannot_be_read_is_waited_for(
    device: FakeDevice, secret: FakeSecret, session: Session[str]
) -> None:
    """Without a secret nothing is sent, and nothing is held against the next attempt."""
    secret.text = None
    with pytest.raises(Waiting):
        await session.opened()
    assert [] == device.logins
    secret.text = "right"
    await session.opened()


async def test_an_unreachable_appliance_is_asked_again(
    device: FakeDevice, session: Session[str]
) -> None:
    """A login without an answer is no refusal: the next command tries it."""
    device.error = Failed(Code.UNREACHABLE, "no answer")
    with pytest.raises(Failed):
        await session.opened()
    device.error = None
    assert "session-2" == (await session.opened()).token


async def test_one_who_goes_away_does_not_end_the_login(
    device: FakeDevice, session: Session[str]
) -> None:
    """The login belongs to all who wait; a cancelled command takes only itself away."""
    first, second = await waiting_for(device, session, 2)
    first.cancel()
    device.gate.set()
    assert "session-1" == (await second).token
    assert first.cancelled()
    assert ["right"] == device.logins


async def test_a_refusal_that_nobody_waits_for_harms_nothing(
    device: FakeDevice, secret: FakeSecret, session: Session[str]
) -> None:
    """It is remembered all the same."""
    secret.text = "wrong"
    (only,) = await waiting_for(device, session, 1)
    only.cancel()
    await asyncio.wait([only])
    device.gate.set()
    with pytest.raises(CredentialsRefused):
        await session.opened()
    assert ["wrong"] == device.logins


async def test_a_rotated_session_is_taken_over(device: FakeDevice, session: Session[str]) -> None:
    """What the appliance says last of its session is what is sent next."""
    opened = await session.opened()
    session.replace(opened, "rotated")
    device.valid = {"rotated"}
    await session.call("read", device.send)
    assert ["rotated"] == device.requests


async def test_a_closed_session_is_forgotten(device: FakeDevice, session: Session[str]) -> None:
    """After closing, once or twice, whoever asks logs in anew."""
    await session.opened()
    await session.close("stopping")
    await session.close("stopping")
    await session.opened()
    assert ["right"] * 2 == device.logins


async def test_a_session_does_not_show_its_token(session: Session[str]) -> None:
    """Printing a session prints nothing that could be used."""
    assert "session-1" not in repr(await session.opened())


async def test_a_command_tells_its_session_once(session: Session[str]) -> None:
    """One command says once that it opened or reused the session, however much it asks."""
    current = Visit()
    token = visit.set(current)
    await session.opened()
    assert current.session_told
    visit.set(again := Visit())
    await session.opened()
    await session.opened()
    assert again.session_told
    visit.reset(token)


async def test_every_state_has_its_name(
    device: FakeDevice, secret: FakeSecret, session: Session[str]
) -> None:
    """Who watches sees where it stands, at each step of its life."""
    seen = [session.state]
    secret.text = "wrong"
    with pytest.raises(CredentialsRefused):
        await session.opened()
    seen.append(session.state)
    secret.text = "right"
    device.asked.clear()
    (opening,) = await waiting_for(device, session, 1)
    seen.append(session.state)
    device.gate.set()
    opened = await opening
    seen.append(session.state)
    session.give_up(opened)
    seen.append(session.state)
    assert [State.CLOSED, State.REFUSED, State.OPENING, State.OPEN, State.CLOSED] == seen


async def test_what_has_not_been_sent_yet_is_not_sent_in_a_session_that_is_over(
    device: FakeDevice, session: Session[str]
) -> None:
    """Whoever waited for a turn takes the new session; nobody was told, so it may be retried."""
    old = await session.opened()
    session.give_up(old)
    with pytest.raises(Superseded) as caught:
        session.proof(old)
    assert isinstance(caught.value, NotSent)
    turns = iter([old])

    async def send(current: Opened[str]) -> Answer:
        session.proof(next(turns, current))
        return await device.send(current)

    assert OK == (await session.call("read", send)).status
    assert ["session-2"] == device.requests


async def test_what_a_rotation_overtook_is_sent_again_in_the_same_session(
    device: FakeDevice, session: Session[str]
) -> None:
    """It was refused for a token that another answer has replaced meanwhile."""
    opened = await session.opened()

    async def send(current: Opened[str]) -> Answer:
        answer = await device.send(current)
        session.replace(opened, "rotated")
        return answer

    device.valid = {"rotated"}
    assert OK == (await session.call("read", send)).status
    assert ["session-1", "rotated"] == device.requests
    assert ["right"] == device.logins


async def test_a_token_that_changes_with_every_refusal_is_not_asked_with_for_ever(
    device: FakeDevice, session: Session[str]
) -> None:
    """At some point it is no rotation any more, but a refusal."""
    device.granting = False

    async def send(current: Opened[str]) -> Answer:
        answer = await device.send(current)
        session.replace(current, f"{current.token}-again")
        return answer

    with pytest.raises(Refused):
        async with asyncio.timeout(1):
            await session.call("read", send)
    assert len(device.requests) < 20
