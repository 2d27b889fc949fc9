"""Turning the exceptions of one record into an error in its result."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from .errors import DagyoError
from .types import Err, Ok, Outcome

P = ParamSpec("P")
T = TypeVar("T")

#: The longest message, in characters: the rest of an exception's text is left out.
_LONGEST = 4096

log = logging.getLogger(__name__)


@overload
def outcome(  # type: ignore[overload-overlap]  # a coroutine is a value, too
    function: Callable[P, Coroutine[Any, Any, T]], /
) -> Callable[P, Coroutine[Any, Any, Outcome[T]]]: ...


@overload
def outcome(function: Callable[P, T], /) -> Callable[P, Outcome[T]]: ...


def outcome(function: Callable[P, Any], /) -> Callable[P, Any]:
    """Let a function return ``Ok`` with its result, or ``Err`` with the exception that it raises.

    It is for functions of one record, whose output is a ``Result``: a bad record then does not end
    the flow. The message is the exception's type and text; its traceback is logged at level INFO.
    What is not about the record is raised: errors of this package, such as ReaderClosed, and what
    is no Exception, such as a cancellation.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waiting(*args: P.args, **kwargs: P.kwargs) -> Outcome[Any]:
            try:
                return Ok(await function(*args, **kwargs))
            except DagyoError:
                raise
            except Exception as e:  # noqa: BLE001 (the record's reader gets it)
                return _error(e)

        return waiting

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> Outcome[Any]:
        try:
            return Ok(function(*args, **kwargs))
        except DagyoError:
            raise
        except Exception as e:  # noqa: BLE001 (the record's reader gets it)
            return _error(e)

    return called


def _error(e: Exception) -> Err:
    log.info("a record failed", exc_info=e)
    try:
        text = str(e)
    except Exception:  # noqa: BLE001 (of a foreign class)
        text = ""
    message = f"{type(e).__name__}: {text}" if text else type(e).__name__
    if len(message) > _LONGEST:
        message = message[: _LONGEST - 1] + "…"
    return Err(message.encode("utf-8", "replace").decode())
