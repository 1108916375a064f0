"""The one thread that empties the queue."""

import logging
import threading
import time
from dataclasses import dataclass

from .delivery import Taken, TooLarge
from .pacing import Backoff, BatchSize

log = logging.getLogger("footfall_queue")


@dataclass(frozen=True)
class Limits:
    """A batch is sent when it reaches one of these."""

    records: int = 500
    bytes: int = 1 << 20
    """Of JSON, before compression."""
    seconds: float = 1.0
    """Age of its oldest record."""


class Sender:
    """Takes batches from the head of the queue and sends them until their fate is known, one at a time and in order."""

    def __init__(self, queue, delivery, limits, backoff=None):
        self._queue = queue
        self._delivery = delivery
        self._limits = limits
        self._size = BatchSize(limits.records, limits.bytes)
        self._backoff = backoff or Backoff()
        # Guards what follows, and is told of every change of it and of the queue.
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry_up_to = 0
        # Records of an earlier run have waited long enough.
        self._oldest_since = 0.0
        self._thread = threading.Thread(target=self._run, name="footfall-queue", daemon=True)
        self._thread.start()

    def put(self, record):
        """Puts a record into the queue and wakes the thread if a batch is full."""
        with self._changed:
            was_empty = self._queue.size()[0] == 0
            id = self._queue.put(record)
            if was_empty:
                self._oldest_since = time.monotonic()
            if was_empty or self._is_full():
                self._changed.notify_all()
            return id

    def flush(self, timeout=None):
        """Sends what is in the queue now without waiting for full batches. True when all of it is settled in time."""
        with self._changed:
            last = self._queue.last_id()
            self._hurry_up_to = max(self._hurry_up_to, last)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled(last), timeout)

    def stop(self, timeout=None):
        """Ends the thread, after the batch that is on its way. The rest of the queue stays on the disk."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _run(self):
        while True:
            with self._changed:
                while not self._stopping and (wait := self._seconds_to_next()) != 0:
                    self._changed.wait(wait)
                if self._stopping:
                    break
                # What comes from here on is the oldest of the next batch.
                self._oldest_since = time.monotonic()
            wait = self._attempt()
            with self._changed:
                self._changed.notify_all()
                if wait and not self._stopping:
                    self._oldest_since = 0.0
                    # A full queue or a flush does not cut this short: the server is the one in need.
                    self._changed.wait_for(lambda: self._stopping, wait)
        self._delivery.close()

    def _attempt(self):
        """As `_send`, but nothing ends the thread, for then the queue would only grow: not a disk without space either."""
        try:
            return self._send(self._queue.head(self._size.count, self._size.bytes))
        except Exception:
            wait = self._backoff.failed()
            log.exception("sending failed and is tried again in %.1f s", wait)
            return wait

    def _send(self, items):
        """Sends a batch once and settles it if it can. Seconds to wait before the next."""
        outcome = self._delivery.send([item.record for item in items])
        match outcome:
            case Taken(refused):
                self._queue.settle(items, {items[place].id: why for place, why in refused.items()})
                for why in refused.values():
                    log.error("a record is refused: %s", why)
                self._size.succeeded()
            case TooLarge(reason) if self._size.too_large(len(items)):
                log.info("a batch of %d records is halved: %s", len(items), reason)
            case TooLarge(reason):
                # Alone and still refused: the next ones must not wait behind it for ever.
                self._queue.settle(items, {items[0].id: reason})
                log.error("a record is refused: %s", reason)
            case _:
                wait = self._backoff.failed(outcome.after)
                log.warning("%d records are sent again in %.1f s: %s", len(items), wait, outcome.reason)
                return wait
        self._backoff.succeeded()
        return 0

    def _seconds_to_next(self):
        """How long until a batch is due: 0 is now, `None` when the queue is empty."""
        if self._queue.size()[0] == 0:
            return None
        if self._is_full() or not self._settled(self._hurry_up_to):
            return 0
        return max(0.0, self._oldest_since + self._limits.seconds - time.monotonic())

    def _is_full(self):
        count, size = self._queue.size()
        return count >= self._size.count or size >= self._size.bytes

    def _settled(self, id):
        first = self._queue.first_id()
        return first is None or first > id
