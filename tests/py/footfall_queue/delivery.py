"""One batch over HTTP, and what the reply says about it."""

import base64
import gzip
import http.client
import json
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Taken:
    """The server has the batch for good, but for the refused records: their place in the batch, and why."""

    refused: dict = field(default_factory=dict)


@dataclass(frozen=True)
class TryAgain:
    """Nothing is known, or the server cannot take it now. `after` is what it asked to wait, in seconds."""

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class TooLarge:
    """The batch may be taken in smaller parts. So may one that the server refuses without naming the records."""

    reason: str


class Delivery:
    """Sends batches to `/import?strict=1`, which answers for every record, and takes events of any age.

    Not for several threads at once: the connection is kept between batches.
    """

    def __init__(self, server, token, timeout=30.0):
        url = urlsplit(server)
        connections = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._connection = connections[url.scheme](url.netloc, timeout=timeout)
        self._path = f"{url.path.rstrip('/')}/import?strict=1"
        secret = base64.b64encode(f"{token}:".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {secret}",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
        }

    def send(self, records):
        body = gzip.compress(b"\n".join(records), compresslevel=1)
        try:
            self._connection.request("POST", self._path, body, self._headers)
            reply = self._connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            # It may have arrived or not. The insert ids make the next try harmless.
            self._connection.close()
            return TryAgain(f"no reply: {error!r}")
        return judge(reply.status, reply.headers, text, len(records))

    def close(self):
        self._connection.close()


def judge(status, headers, text, count):
    """What a reply says about a batch of `count` records."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    # The body has to say it as well: a proxy's page of status 200 is no acknowledgement.
    if status == 200 and said.get("code") == 200:
        return Taken()
    if status == 400 and isinstance(said.get("failed_records"), list):
        refused = {failed.get("index"): str(failed.get("message")) for failed in said["failed_records"]}
        if all(isinstance(index, int) and 0 <= index < count for index in refused):
            return Taken(refused)
    reason = f"{status} {said.get('error', '')}".strip()
    if status in (400, 413, 422):
        return TooLarge(reason)
    # Everything else may pass: an overloaded or stopping server, a proxy without one, a token that is not valid yet.
    return TryAgain(reason, retry_after(headers.get("Retry-After")))


def retry_after(value, now=time.time):
    """The header `Retry-After` in seconds from now: a number or a date; `None` when it is neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now())
    except (TypeError, ValueError):
        return None
