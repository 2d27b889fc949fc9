"""A program of Dagyo: the text on a scanned page."""

import io
from functools import cache
from typing import Any

import numpy
from PIL import Image, UnidentifiedImageError

import dagyo


@cache
def engine() -> Any:
    """Load the model, which is part of the package."""
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "error"})


@dagyo.outcome
def read(image: bytes) -> list[str]:
    """Return the lines of a page, from top to bottom. What is no picture is an error."""
    try:
        pixels = numpy.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"a page of {len(image)} bytes is no picture") from None
    return list(engine()(pixels).txts or ())


@dagyo.progdef
def ocr(page: dagyo.SyncIn[bytes], lines: dagyo.SyncOut[dagyo.Outcome[Any]]) -> None:
    """Read the text on scanned pages."""
    for image in page:
        lines.send(read(image))


if __name__ == "__main__":
    dagyo.main(ocr, prepare=engine)
