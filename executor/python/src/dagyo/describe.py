"""The documents of a program, for ``dagyo progdef apply``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from .code import digest
from .progdef import Progdef


def describe(programs: tuple[Progdef, ...], folder: str = ".") -> None:
    """Print the document of each progdef, with the command that runs it here.

    Paths in the command are relative to the folder, that of the document, as far as the program and
    its interpreter are in the project: in the current directory, in the folder, or below one of
    them. Several documents form one YAML stream, as ``dagyo progdef apply`` accepts.
    """
    command = [interpreter(folder), relative(os.path.abspath(sys.argv[0]), folder)]
    code = digest()
    for number, program in enumerate(programs):
        if number > 0:
            print("---")
        print(json.dumps(program.document(command, code), ensure_ascii=False, indent=2))


def relative(path: str, folder: str) -> str:
    """Return a path in the project relative to a folder of it, and other paths unchanged."""
    roots = [Path(root).absolute() for root in (os.curdir, folder)]
    if not any(Path(path).is_relative_to(root) for root in roots if root != Path(root.anchor)):
        return path
    short = os.path.relpath(path, folder)
    return short if short.startswith(os.pardir + os.sep) else os.path.join(os.curdir, short)


def interpreter(folder: str) -> str:
    """Return how to run this interpreter: a path, or the name by which it is found everywhere."""
    name = os.path.basename(sys.executable)
    in_environment = sys.prefix != sys.base_prefix
    if not in_environment and shutil.which(name) == sys.executable:
        return name
    return relative(sys.executable, folder)
