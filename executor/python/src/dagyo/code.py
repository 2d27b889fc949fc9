"""The digest of a program's code: with it, a progdef's revision changes when its code does."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from pathlib import Path

_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


def digest() -> str:
    """Return the digest of the program's own modules that are imported by now.

    Those of Python and of installed packages do not count, nor does this package.
    """
    foreign = [Path(sysconfig.get_path(name)).resolve() for name in _INSTALLED]
    foreign.append(Path(__file__).resolve().parent)
    total = hashlib.sha256()
    for name, file in sorted(_modules()):
        if any(file.is_relative_to(folder) for folder in foreign):
            continue
        total.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _modules() -> list[tuple[str, Path]]:
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_file():
            found.append((name, Path(file).resolve()))
    return found
