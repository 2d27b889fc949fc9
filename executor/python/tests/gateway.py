"""The gateway of a running Dagyo, and flows for tests of the client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dagyo import Err, Ok

from .helpers import PATIENCE


@dataclass
class Gate:
    """The gateway of a `dagyo up`."""

    command: Path
    url: str
    token: str
    user: str
    state: Path
    process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a client finds it."""
        return {**os.environ, "XDG_STATE_HOME": str(self.state)}

    def found_by(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process find it."""
        monkeypatch.setenv("XDG_STATE_HOME", str(self.state))

    def add_user(self, name: str, role: str) -> str:
        """Return new credentials."""
        data = str(self.state / "dagyo")
        return subprocess.run(
            [str(self.command), "user", "add", name, "--role", role, "--out", "-", "--data", data],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def opened(command: Path, folder: Path, *options: str) -> Iterator[Gate]:
    """Run `dagyo up` with a gateway on a free port."""
    state = folder / "state"
    process = subprocess.Popen(
        [str(command), "up", "-o", "json", "--port", "-1", "--http", "127.0.0.1:0",
         "--data", str(state / "dagyo"), "--drain-timeout", "1s", *options],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "XDG_CONFIG_HOME": str(folder)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        header = (state / "dagyo/keys/http.header").read_text()
        token = header.removeprefix("Authorization: Bearer ").strip()
        yield Gate(command, said["http"], token, said["user"], state, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        process.stdout.close()


greet: dict[str, Any] = {
    "nodes": {"hello": {"progdef": "greet"}},
    "inputs": {"names": "hello.name"},
    "outputs": {"greetings": "hello.greeting"},
}

#: Writes 0, 1, 2 and so on.
numbers: dict[str, Any] = {"nodes": {"n": {"progdef": "counter"}}, "outputs": {"number": "n.number"}}

#: Panics at the first error.
assertion: dict[str, Any] = {
    "nodes": {"check": {"progdef": "assert", "types": {"T": "utf8-string"}}},
    "inputs": {"in": "check.in"},
    "outputs": {"out": "check.out"},
}


def copy(typename: str) -> dict[str, Any]:
    """Copies records."""
    return {
        "nodes": {"both": {"progdef": "tee", "types": {"T": typename}}},
        "inputs": {"in": "both.in"},
        "outputs": {"a": "both.a", "b": "both.b"},
    }


def drop(typename: str) -> dict[str, Any]:
    """Drops what it reads."""
    return {
        "nodes": {"end": {"progdef": "void_sink", "types": {"T": typename}}},
        "inputs": {"in": "end.in"},
    }


#: Records that come back as they are.
COPIED: list[tuple[str, list[Any]]] = [
    (
        "utf8-string",
        ["", " ", "\n", "\r\n", "a\nb", "\u2028", "\ufeffbom", "\0", "\U0001f600", '"{}', "</script>",
         "../..", "=1+1", "e\u0301", "x" * 3_000_000],
    ),
    (
        "json",
        [None, True, 0, -1.5e300, "", "a\nb", [], {}, {"": [None, "\u2028"]}, [[[[1]]]],
         "y" * 1_000_000],
    ),
    ("octets", [b"", b"\0\xff\n\r", b"\xc8" * 300_000, b"z" * 5_000_000, b""]),
    ("png-image", [b"\x89PNG\r\n"]),
    ("Result<list<list<utf8-string>>>", [Ok([["a\n", ""], []]), Err("broken\n"), Ok([])]),
    ("list<octets>", [[], [b""], [b"a" * 127, b"b" * 128, b"c" * 20_000]]),
]  # fmt: skip
