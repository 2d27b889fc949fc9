"""A minimal progdef, which writes a greeting for each name."""

import dagyo


@dagyo.progdef
async def greet_py(name: dagyo.In[str], greeting: dagyo.Out[str]) -> None:
    """Write "hello " before each name."""
    async for n in name:
        await greeting.send("hello " + n)


if __name__ == "__main__":
    dagyo.main(greet_py)
