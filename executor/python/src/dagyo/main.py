"""The entry point of a program that is an executor."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable

from .config import from_environment
from .describe import describe
from .errors import UsageError
from .executor import EXIT_OK, EXIT_USAGE, Executor
from .progdef import Progdef


def main(*programs: Progdef, prepare: Callable[[], object] | None = None) -> None:
    """Serve jobs with these progdefs until drained, and exit. Call it in the main thread.

    If there are several, DAGYO_JOBS selects the one to serve. With the argument ``describe`` it
    prints their documents instead, for ``dagyo progdef apply``, with paths relative to a folder if
    one follows; with ``--help`` it prints its usage.

    ``prepare`` is called before the first job is taken, and only then: it loads what takes long,
    such as a model.
    """
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(usage(programs))
        sys.exit(EXIT_OK)
    if sys.argv[1:2] == ["describe"]:
        describe(programs, *sys.argv[2:3])
        sys.exit(EXIT_OK)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        executor = Executor(from_environment(os.environ), programs)
    except UsageError as e:
        print(e, file=sys.stderr)
        if "DAGYO_JOBS" not in os.environ:
            print(usage(programs), file=sys.stderr)
        sys.exit(EXIT_USAGE)
    if prepare is not None:
        prepare()
    sys.exit(asyncio.run(executor.run()))


def usage(programs: tuple[Progdef, ...]) -> str:
    """Return the text of ``--help``."""
    script = os.path.basename(sys.argv[0])
    names = ", ".join(p.name for p in programs)
    return f"""\
This program is an executor of Dagyo: it serves the jobs of {names}.

  python3 {script} describe    print the progdef documents; to put them into the catalogue:
                               python3 {script} describe | dagyo progdef apply -
                               to save them in a folder DIR: describe DIR > DIR/FILE.yaml
  python3 {script}             serve jobs until SIGTERM; Dagyo starts it so, with DAGYO_QUEUE,
                               DAGYO_JOBS and others in the environment (docs/protocol.md)"""
