"""The entry point of a program that is an executor."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

from .config import from_environment
from .errors import UsageError
from .executor import EXIT_OK, EXIT_USAGE, Executor
from .progdef import Progdef


def main(*programs: Progdef) -> None:
    """Serve jobs with these progdefs until drained, and exit. It is for the main thread.

    With several, DAGYO_JOBS says which one to serve. With the argument ``describe`` it prints their
    documents instead, one a line, for ``dagyo progdef apply``.
    """
    if sys.argv[1:2] == ["describe"]:
        describe(programs)
        sys.exit(EXIT_OK)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        executor = Executor(from_environment(os.environ), programs)
    except UsageError as e:
        print(e, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(asyncio.run(executor.run()))


def describe(programs: tuple[Progdef, ...]) -> None:
    """Print the document of each progdef, with the command that runs it here."""
    command = [sys.executable, os.path.abspath(sys.argv[0])]
    for program in programs:
        print(json.dumps(program.document(command), ensure_ascii=False))
