"""FortiVoice's read-only Fabric resources, read one after the other in one session.

Source: FortiVoice 6.4.0 REST API Reference Guide, "FortiVoice supported resource list": seven
names, no path and no schema. A refusal (403) is a session that is over or a permission that is
missing; which one, another resource tells, so that a login is not spent on each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar, get_args

from multidict import CIMultiDict

from service.appliances.answers import Answer, Meaning, Operation
from service.appliances.readings import of_answer, of_error
from service.errors import Code, Failed, Refused
from service.messages.wire import FabricResource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from service.appliances.answers import Meanings
    from service.appliances.ports import Reading
    from service.appliances.session import Opened, Session

T = TypeVar("T")

RESOURCES: Final[tuple[str, ...]] = get_args(FabricResource)


class Fabric(Generic[T]):
    """One reading of Fabric resources.

    Args:
        session: the one that all calls share.
        send: sends a request in it.
        meanings: what refusals mean in a session.
    """

    def __init__(
        self,
        session: Session[T],
        send: Callable[[Operation, Opened[T]], Awaitable[Answer]],
        meanings: Meanings,
    ) -> None:
        """Keep the parts; nothing is asked yet."""
        self._session = session
        self._send = send
        self._meanings = meanings
        self._found: dict[str, Reading] = {}

    async def read(self, names: Sequence[str]) -> list[Reading]:
        """Read these resources.

        Raises:
            Refused: `permission-denied`; the account may read none of them.
            Failed, Waiting: the appliance cannot be asked now.
        """

        async def ask_for_the_others(opened: Opened[T]) -> Answer:
            return await self._ask_all([n for n in names if n not in self._found], opened)

        try:
            # Those that are read together are one permission: one login finds out.
            await self._session.call(" ".join(sorted(names)), ask_for_the_others)
        except Refused as error:
            if not self._found:
                raise
            left = [name for name in names if name not in self._found]
            self._found.update({name: of_error(name, error) for name in left})
        return [self._found[name] for name in names]

    async def _ask_all(self, names: Sequence[str], opened: Opened[T]) -> Answer:
        """Ask in one session; what is returned is a refusal if the session may be over."""
        answers = {name: await self._ask(name, opened) for name in names}
        refused = [name for name in names if name not in self._found]
        if not refused:
            return answers[names[-1]]
        # Who answers 404 or 500 may not even have looked at the session.
        served = [name for name in names if answers[name].meaning is Meaning.DONE]
        if not served:
            return answers[refused[-1]]
        again = await self._ask(served[-1], opened)
        if again.meaning is Meaning.DONE:
            self._found.update({name: of_answer(name, answers[name]) for name in refused})
        return again if again.meaning is Meaning.DONE else answers[refused[-1]]

    async def _ask(self, name: str, opened: Opened[T]) -> Answer:
        # ASSUMED: the path of every other resource in the guide, and GET, as all are read only.
        operation = Operation(name, "GET", f"/api/v1/{name}", meanings=self._meanings)
        try:
            answer = await self._send(operation, opened)
        except Failed as error:
            if error.code is not Code.UNEXPECTED_ANSWER:
                raise
            # It did answer, with more than anybody reads.
            self._found.setdefault(name, of_error(name, error))
            return Answer(operation, error.status or 0, CIMultiDict(), b"", is_whole=False)
        if answer.meaning is not Meaning.NO_SESSION:
            self._found.setdefault(name, of_answer(name, answer))
        return answer
