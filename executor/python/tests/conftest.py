"""Fixtures with a real broker."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import dagyo
from dagyo.client import Client
from dagyo.link import Link

from .gateway import Gate, opened
from .helpers import Broker, go_build
from .up import Up, started

PACKAGE = str(Path(dagyo.__file__).parent)


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go side of the tests: tests/peer."""
    return go_build("./tests/peer", tmp_path_factory.mktemp("go") / "peer")


@pytest.fixture(scope="session")
def dagyo_command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command dagyo."""
    return go_build("./services/dagyo", tmp_path_factory.mktemp("go") / "dagyo")


@pytest.fixture(scope="session")
def shared_broker(peer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for all tests that do not restart it."""
    broker = Broker(peer, tmp_path_factory.mktemp("nats"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(peer: Path, tmp_path: Path) -> Iterator[Broker]:
    """A broker for one test, which may stop and restart it."""
    broker = Broker(peer, tmp_path / "nats")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
async def links(shared_broker: Broker) -> AsyncIterator[tuple[Link, Link]]:
    """Two connections to the shared broker: a writer's and a reader's."""
    pair = Link(), Link()
    for link in pair:
        await link.connect(shared_broker.url, "test")
    yield pair
    for link in pair:
        await link.close()


@pytest.fixture(scope="session")
def up(dagyo_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A `dagyo up` for all tests."""
    with started(dagyo_command, tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.fixture
def sealed_up(dagyo_command: Path, tmp_path: Path) -> Iterator[Up]:
    """A running Dagyo that seals the edges of flows."""
    with started(dagyo_command, tmp_path, "--seal-edges") as running:
        yield running


@pytest.fixture(scope="session")
def gate(dagyo_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The gateway of a `dagyo up` for all tests of the client."""
    with opened(dagyo_command, tmp_path_factory.mktemp("gate")) as running:
        yield running


@pytest.fixture
async def client(gate: Gate) -> AsyncIterator[Client]:
    """A client of that gateway."""
    async with Client(gate.url, token=gate.token) as one:
        yield one


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Check that every task of a test has ended, except those of connections."""
    yield
    await asyncio.sleep(0)
    left = [t for t in asyncio.all_tasks() if _ours(t)]
    assert not left


def _ours(task: asyncio.Task[object]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(PACKAGE)


def pytest_configure() -> None:
    """Keep the environment of the tests from reaching an executor by accident."""
    for name in list(os.environ):
        if name.startswith("DAGYO_"):
            del os.environ[name]
    assert subprocess.run(["go", "version"], capture_output=True, check=False).returncode == 0, (
        "the tests need Go, for a nats-server and the other ends of edges"
    )
