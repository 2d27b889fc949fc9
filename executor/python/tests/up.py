"""A running Dagyo, for tests of complete flows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .helpers import PATIENCE, ROOT

HERE = Path(__file__).parent


@dataclass
class Up:
    """A running Dagyo."""

    command: Path
    url: str
    #: The credentials of who started it, and that user's name.
    creds: str
    user: str
    folder: Path

    def dagyo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.command), "--server", self.url, "--creds", self.creds, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def write(self, name: str, document: Any) -> str:
        path = self.folder / name
        path.write_text(json.dumps(document))
        return str(path)

    def apply(self, document: dict[str, Any]) -> None:
        applied = self.dagyo(
            "progdef", "apply", "--replace-standard", self.write("progdef.json", document)
        )
        assert applied.returncode == 0, applied.stderr

    def run(self, flow: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        return self.dagyo("run", self.write("flow.json", flow))


def described(script: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the documents of a script's progdefs, with paths relative to the folder."""
    out = subprocess.run(
        [sys.executable, str(script), "describe", str(folder)],
        capture_output=True, text=True, check=True, cwd=script.parent,
    )  # fmt: skip
    return [json.loads(part) for part in re.split("^---$", out.stdout, flags=re.MULTILINE)]


@contextmanager
def started(command: Path, folder: Path, *options: str) -> Iterator[Up]:
    """Run `dagyo up` with the progdefs of these tests."""
    process = subprocess.Popen(
        [str(command), "up", "-o", "json", "--port", "-1", "--data", str(folder / "data"),
         "--drain-timeout", "1s", *options],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "XDG_CONFIG_HOME": str(folder)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield _with_progdefs(Up(command, said["server"], said["creds"], said["user"], folder))
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()


def _with_progdefs(up: Up) -> Up:
    for document in described(HERE / "programs.py", up.folder) + described(
        ROOT / "executor/python/examples/greet.py", up.folder
    ):
        text = json.dumps(document).replace('"T"', '"utf8-string"').replace("<T>", "<utf8-string>")
        document = json.loads(text)
        document.pop("typeParams", None)
        document["scaling"] = {"jobsPerExecutor": 10, "idleTimeout": "30s"}
        document["health"] = {"interval": "1s", "timeout": "5s"}
        if document["name"] != "greet":  # there is one in Go
            up.apply(document)
    return up
