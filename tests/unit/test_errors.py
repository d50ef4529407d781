"""The error tree says what to do; nothing stands beside it."""

import inspect
from collections.abc import Iterator

import pytest

from service import errors
from service.errors import Code, CommandError, CourierError, Reason, Rejection
from tests.unit.making import LICENSE


def defined(root: type[CourierError]) -> set[tuple[str, str]]:
    """The tree as (parent, child) pairs."""
    children = [each for each in root.__subclasses__() if each.__module__ == errors.__name__]
    pairs = {(root.__name__, child.__name__) for child in children}
    return pairs.union(*map(defined, children))


def drawn() -> Iterator[tuple[str, str, str]]:
    """The drawing as (parent, child, what to do) rows; three signs of indentation per level."""
    above: list[str] = ["CourierError"]
    for line in (inspect.getdoc(errors) or "").splitlines()[3:]:
        lead, text = line.split("── ")
        name, what = text.split(maxsplit=1)
        del above[len(lead) // 4 + 1 :]
        yield above[-1], name, what
        above.append(name)


def test_the_tree_is_drawn_where_it_is_defined() -> None:
    """The drawing at the top of the module is the tree, each error with what to do about it."""
    assert defined(CourierError) == {(parent, child) for parent, child, _ in drawn()}
    assert all(what.strip() for _, _, what in drawn())


def test_every_error_has_a_sentence() -> None:
    """Each class says in its docstring what follows from it."""
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert [] == [
        each for each in classes if each.__module__ == errors.__name__ and not each.__doc__
    ]


def test_the_reasons_stand_in_the_order_in_which_they_are_decided() -> None:
    """The list of reasons is public, and so is its order."""
    expected = "too-large not-json not-a-cloudevent unknown-command contract-violation"
    assert [*expected.split(), "id-conflict", "delivery-limit"] == list(Reason)


@pytest.mark.parametrize("code", Code)
def test_a_command_error_says_what_is_told(code: Code) -> None:
    """Code, sentence, status and the wish to be left alone travel with the error."""
    error = CommandError(code, "why", status=429, retry_after=7.5)
    assert (code, "why", 429, 7.5) == (error.code, error.message, error.status, error.retry_after)
    assert "why" == str(error)


def test_a_rejections_text_is_its_reason() -> None:
    """What a log shows of a rejection names the reason and nothing of the message."""
    rejection = Rejection(Reason.CONTRACT_VIOLATION, [(f"/{LICENSE}", LICENSE)])
    assert "contract-violation" == str(rejection)
    assert LICENSE not in repr(rejection)
    assert ((f"/{LICENSE}", LICENSE),) == rejection.errors
