"""The digest of a program's code, which makes a progdef's revision depend on its code."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from pathlib import Path

_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


def digest() -> str:
    """Return the digest of the program's own modules that are already imported.

    The standard library, installed packages and this package are not included.
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
