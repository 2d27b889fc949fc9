"""Secrets of the environment, which must not leave the process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_LEAST = 6  # bytes; shorter values occur everywhere


class Mask:
    """Replaces secrets in what leaves the process."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        lines = {line.strip() for value in values for line in value.splitlines()}
        secrets = [s for s in lines if len(s.encode()) >= _LEAST]
        secrets.sort(key=len, reverse=True)  # of several that match, the first one counts
        self._secret = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def apply(self, text: str) -> str:
        """Return the text without secrets."""
        return text if self._secret is None else self._secret.sub("***", text)


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the variables that DAGYO_SECRETS names."""
    names = environ.get("DAGYO_SECRETS", "").split(",")
    if names[0] != "*":
        return tuple(environ[name] for name in names if name in environ)
    return tuple(
        value for name, value in environ.items() if name not in names and not name.startswith("DAGYO_")
    )
