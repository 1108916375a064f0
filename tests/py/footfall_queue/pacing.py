"""How long to wait and how much to send: two small policies without clocks or sockets."""

import random


class Backoff:
    """Waits that double with each failure in a row, spread at random so that many clients do not return together."""

    def __init__(self, first=0.5, longest=60.0, draw=random.random):
        self._first = first
        self._longest = longest
        self._draw = draw
        self._failures = 0

    def failed(self, retry_after=None):
        """Seconds to wait after one more failure; never less than the server asked for."""
        # Bounded, for 2 to the power of a day of failures is no number any more.
        step = min(self._longest, self._first * 2 ** min(self._failures, 32))
        self._failures += 1
        if retry_after is None:
            return step * (0.5 + 0.5 * self._draw())
        return retry_after + step * 0.5 * self._draw()

    def succeeded(self):
        self._failures = 0


class BatchSize:
    """The bounds of a batch: halved when the server finds one too large, doubled again after a while of successes."""

    GROWS_AFTER = 16

    def __init__(self, count_max, bytes_max):
        self._largest = (count_max, bytes_max)
        self.count, self.bytes = self._largest
        self._successes = 0

    def too_large(self, count):
        """A batch of `count` records was too large. False if it cannot get smaller: its one record is too large itself."""
        if count <= 1:
            return False
        self.count = count // 2
        self.bytes = max(1, self.bytes // 2)
        self._successes = 0
        return True

    def succeeded(self):
        self._successes += 1
        if self._successes >= self.GROWS_AFTER:
            self._successes = 0
            self.count = min(self._largest[0], self.count * 2)
            self.bytes = min(self._largest[1], self.bytes * 2)
