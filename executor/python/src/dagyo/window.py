"""The window of an edge: how much may be sent and not yet consumed."""

from __future__ import annotations

from collections import deque

from .errors import DagyoError, ProtocolError
from .job import Address

#: The smallest supported window, in bytes.
MIN_WINDOW = 1 << 10

#: The part of the window that may be in flight directly: a quarter, with a limit on the frames.
DIRECT_SHARE = 4
MAX_DIRECT_FRAMES = 64

#: Credit is given, and consumed frames are cleared, after each eighth of a window.
EIGHTH = 8

#: A reader gives credit after at most this many bytes received directly, about a full frame: the
#: writer may use less of the window than we know.
CREDIT_STEP = 62 << 10

FIRST_PAUSE = 0.25
LAST_PAUSE = 2.0


def longer(pause: float) -> float:
    """Return the pause, in seconds, that follows the given one; 0 means none yet."""
    return min(max(2 * pause, FIRST_PAUSE), LAST_PAUSE)


def direct_window(address: Address) -> int:
    """Return how many bytes may be in flight directly."""
    return address.window // DIRECT_SHARE


def direct_frames(address: Address) -> int:
    """Return how many frames may be in flight directly."""
    return min(address.frames, MAX_DIRECT_FRAMES)


def check_window(address: Address) -> None:
    """Raise DagyoError if the address's window is too small or too large."""
    if address.window < MIN_WINDOW or address.frames < 1:
        raise DagyoError(
            f"edge {address.subject}: a window of {address.window} bytes and {address.frames} "
            f"frames is too small: the minimum is {MIN_WINDOW} bytes and 1 frame"
        )
    if 0 < address.slots < address.frames:
        raise DagyoError(
            f"edge {address.subject}: a window of {address.frames} frames is larger than the "
            f"{address.slots} slots that store them"
        )


class Window:
    """The frames that were sent and are not yet consumed."""

    def __init__(self, address: Address) -> None:
        self._octets = address.window
        self._frames = address.frames
        self._sizes: deque[int] = deque()
        self._used = 0
        #: The number of the last frame consumed.
        self.consumed = 0

    def fits(self, size: int) -> bool:
        """Report whether a frame of that many bytes may be sent; any may if everything is
        consumed."""
        if not self._sizes:
            return True
        return self._used + size <= self._octets and len(self._sizes) < self._frames

    def add(self, size: int) -> None:
        """Record a sent frame."""
        self._sizes.append(size)
        self._used += size

    def consume(self, number: int) -> bool:
        """Handle a credit up to a frame's number; report whether it was new.

        Raises ProtocolError for a frame that was never sent.
        """
        if number <= self.consumed:
            return False
        count = number - self.consumed
        if count > len(self._sizes):
            sent = self.consumed + len(self._sizes)
            raise ProtocolError(f"credit for frame {number}, but only {sent} were sent")
        for _ in range(count):
            self._used -= self._sizes.popleft()
        self.consumed = number
        return True
