"""Here Docker is used, whatever has to be done to have it; see `tests.support.engine`."""

from collections.abc import Iterator

import pytest

from tests.support.engine import Engine, engine
from tests.support.images import Images, images


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """Hold an engine that answers, for the run."""
    with engine() as answering:
        yield answering


@pytest.fixture(scope="session")
def made(docker: Engine) -> Images:
    """Name the images that this run is about."""
    return images(docker)
