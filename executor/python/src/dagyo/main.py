"""The entry point of a program that is an executor."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

from .code import digest
from .config import from_environment
from .errors import UsageError
from .executor import EXIT_OK, EXIT_USAGE, Executor
from .progdef import Progdef


def main(*programs: Progdef) -> None:
    """Serve jobs with these progdefs until drained, and exit. Call it in the main thread.

    If there are several, DAGYO_JOBS selects the one to serve. With the argument ``describe`` it
    prints their documents instead, for ``dagyo progdef apply``; with ``--help`` it prints its
    usage.
    """
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(usage(programs))
        sys.exit(EXIT_OK)
    if sys.argv[1:2] == ["describe"]:
        describe(programs)
        sys.exit(EXIT_OK)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        executor = Executor(from_environment(os.environ), programs)
    except UsageError as e:
        print(e, file=sys.stderr)
        if "DAGYO_JOBS" not in os.environ:
            print(usage(programs), file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(asyncio.run(executor.run()))


def describe(programs: tuple[Progdef, ...]) -> None:
    """Print the document of each progdef, with the command that runs it here.

    Several documents form one YAML stream, as ``dagyo progdef apply`` accepts.
    """
    command = [sys.executable, os.path.abspath(sys.argv[0])]
    code = digest()
    for number, program in enumerate(programs):
        if number > 0:
            print("---")
        print(json.dumps(program.document(command, code), ensure_ascii=False, indent=2))


def usage(programs: tuple[Progdef, ...]) -> str:
    """Return the text of ``--help``."""
    script = os.path.basename(sys.argv[0])
    names = ", ".join(p.name for p in programs)
    return f"""\
This program is an executor of Dagyo: it serves the jobs of {names}.

  python3 {script} describe    print the progdef documents; to put them into the catalogue:
                               python3 {script} describe | dagyo progdef apply -
  python3 {script}             serve jobs until SIGTERM; Dagyo starts it so, with DAGYO_QUEUE,
                               DAGYO_JOBS and others in the environment (docs/protocol.md)"""
