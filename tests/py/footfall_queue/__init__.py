"""A client of Footfall's `/import` that keeps its queue on disk: what `track` took is delivered once, whatever dies meanwhile.

    client = Client("http://127.0.0.1:8080", token, "events.queue")
    client.track("ann", "Signed Up", {"plan": "pro"})     # returns as soon as the event is in the queue file
    client.close()

One idea carries it: an event gets its insert id before it enters the queue and keeps it through every try, so a try whose
fate is unknown is simply made again, and the server drops what it has. An event leaves the queue only when a reply says what
became of it.

    track ─▶ disk queue (SQLite) ─▶ one sender thread: batch ▸ send ▸ settle ─▶ sent, or refused with the server's reason

It batches by count, bytes and time; waits longer after each failure, with jitter, and as long as the server asks for; halves
its batches when they are too large; and blocks the caller for one local commit only. It needs nothing but the standard
library. It is written for the tests, as a model of what a good client does: take it along.
"""

from .client import Client
from .disk import DiskQueue, QueueFull, QueueInUse
from .sender import Limits

__all__ = ["Client", "DiskQueue", "Limits", "QueueFull", "QueueInUse"]
