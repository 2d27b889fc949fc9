"""Exceptions of one record as errors in its result."""

from __future__ import annotations

import asyncio
import logging

import pytest

import dagyo
from dagyo import Err, In, Ok, Out, Outcome


@dagyo.outcome
def half(text: str) -> str:
    """Return half of a number."""
    return str(int(text) // 2)


@dagyo.outcome
async def later(text: str) -> int:
    await asyncio.sleep(0)
    return int(text)


@dagyo.progdef
async def halves(number: In[str], result: Out[Outcome[str]]) -> None:
    async for text in number:
        await result.send(half(text))


def test_a_bad_record_does_not_end_the_job() -> None:
    assert halves.run(number=["4", "four", "6"]) == {
        "result": [
            Ok("2"),
            Err("ValueError: invalid literal for int() with base 10: 'four'"),
            Ok("3"),
        ]
    }
    assert half.__doc__ == "Return half of a number."


async def test_functions_with_async() -> None:
    assert await later("1") == Ok(1)
    assert await later("one") == Err("ValueError: invalid literal for int() with base 10: 'one'")


@pytest.mark.parametrize("error", [dagyo.ReaderClosed(), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_what_is_not_about_the_record_is_raised(error: BaseException) -> None:
    @dagyo.outcome
    def at_once() -> None:
        raise error

    @dagyo.outcome
    async def soon() -> None:
        raise error

    with pytest.raises(type(error)):
        at_once()
    if not isinstance(error, KeyboardInterrupt):  # which ends the loop
        with pytest.raises(type(error)):
            await soon()


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError(), "RuntimeError"),
        (Silent(), "Silent"),
        (ValueError("\ud800"), "ValueError: ?"),
        (ValueError("x" * 5000), "ValueError: " + "x" * (4096 - 13) + "…"),
    ],
)
def test_every_message_can_be_sent(error: Exception, message: str) -> None:
    @dagyo.outcome
    def fail() -> str:
        raise error

    result = fail()
    assert result == Err(message)
    assert dagyo.Result[dagyo.String].decode(dagyo.Result[dagyo.String].encode(result)) == result


def test_tracebacks_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dagyo"):
        half("x")
    assert "a record failed" in caplog.text
    assert "int(text) // 2" in caplog.text
