"""Passes on every record. The conformance kit runs it: dagyo conformance -- python3 echo.py."""

import dagyo


@dagyo.progdef
async def echo(in_: dagyo.In[str], out: dagyo.Out[str]) -> None:
    """Copy the input to the output."""
    async for text in in_:
        await out.send(text)


if __name__ == "__main__":
    dagyo.main(echo)
