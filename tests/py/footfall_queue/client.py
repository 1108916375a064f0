"""What an application sees."""

import json
import time as clock
import uuid

from .delivery import Delivery
from .disk import DiskQueue
from .sender import Limits, Sender


class Client:
    """Tracks events for one project. Share it between threads; after a fork open another, on another file."""

    def __init__(self, server, token, path, *, limits=Limits(), timeout=30.0, backoff=None, **queue_options):
        self._queue = DiskQueue(path, **queue_options)
        self._sender = Sender(self._queue, Delivery(server, token, timeout), limits, backoff)

    def track(self, distinct_id, event, properties=None, *, time=None, insert_id=None):
        """Takes an event and returns its insert id. From here on it is delivered once, in this run or a later one.

        `time` is in seconds since the epoch, now unless given. An event that is tracked twice under one insert id, of the
        same name, user and time, counts once.
        """
        insert_id = insert_id or uuid.uuid4().hex
        known = {
            "distinct_id": distinct_id,
            "$insert_id": insert_id,
            "time": round((clock.time() if time is None else time) * 1000),
        }
        record = {"event": event, "properties": {**(properties or {}), **known}}
        # Before the queue: what JSON cannot say is the caller's mistake, and shows in the call.
        self._sender.put(json.dumps(record, ensure_ascii=False, allow_nan=False).encode())
        return insert_id

    def waiting(self):
        """Events that are not settled yet."""
        return self._queue.size()[0]

    def refused(self):
        """Events that the server will never take, as JSON, each with its reason."""
        return self._queue.refused()

    def flush(self, timeout=None):
        """Sends all events that were tracked until now. True when each is settled within `timeout` seconds."""
        return self._sender.flush(timeout)

    def close(self, timeout=5.0):
        """Tries to send the rest for `timeout` seconds; what is left waits on the disk for the next run."""
        self._sender.flush(timeout)
        self._sender.stop()
        self._queue.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
