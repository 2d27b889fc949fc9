"""A program of Dagyo with two progdefs: thumbnails of pictures, and a sheet of them."""

import io

from PIL import Image, ImageOps

import dagyo

SIZE = 160  # pixels, of the longer side
COLUMNS = 4
GAP = 8


def opened(picture: bytes) -> Image.Image:
    """Decode a picture, upright and without transparency."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(picture))).convert("RGB")


def encoded(image: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@dagyo.progdef
def thumbnail(picture: dagyo.SyncIn[bytes], small: dagyo.SyncOut[bytes]) -> None:
    """Reduce pictures to at most 160 pixels."""
    for each in picture:
        image = opened(each)
        image.thumbnail((SIZE, SIZE))
        small.send(encoded(image))


@dagyo.progdef
def contact_sheet(small: dagyo.SyncIn[bytes], sheet: dagyo.SyncOut[bytes]) -> None:
    """Put small pictures on one sheet, four in a row."""
    images = [opened(each) for each in small]
    rows = -(-len(images) // COLUMNS)
    step = SIZE + GAP
    paper = Image.new("RGB", (COLUMNS * step + GAP, rows * step + GAP), "white")
    for n, image in enumerate(images):
        row, column = divmod(n, COLUMNS)
        paper.paste(image, (GAP + column * step + (SIZE - image.width) // 2, GAP + row * step + (SIZE - image.height) // 2))
    sheet.send(encoded(paper))


@dagyo.progdef
def measure(picture: dagyo.SyncIn[bytes], size: dagyo.SyncOut[str]) -> None:
    """Write the format, width and height of pictures."""
    for each in picture:
        image = Image.open(io.BytesIO(each))
        size.send(f"{image.format} {image.width}x{image.height}")


if __name__ == "__main__":
    dagyo.main(thumbnail, contact_sheet, measure)
