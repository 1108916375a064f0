"""An application over `footfall_queue`, made to be killed at any instant.

usage: queue_driver.py run   BASE TOKEN QUEUE FIRST   tracks numbered events for ever, and says of each "try N", then "kept N"
       queue_driver.py drain BASE TOKEN QUEUE         delivers what the queue holds, says "left N"
"""

import os
import random
import sys
import time

from footfall_queue import Client, Limits
from footfall_queue.pacing import Backoff

DRAIN_SECONDS = 60.0


def say(*words):
    # Past all buffers: what was said stays said when the process is killed.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main():
    command, base, token, path, *rest = sys.argv[1:]
    limits = Limits(records=40, bytes=8 << 10, seconds=0.02)
    client = Client(base, token, path, limits=limits, timeout=10.0, backoff=Backoff(first=0.01, longest=0.2))
    if command == "drain":
        client.flush(DRAIN_SECONDS)
        say("left", client.waiting(), "refused", len(client.refused()))
        return client.close()
    for n in range(int(rest[0]), sys.maxsize):
        say("try", n)
        client.track(f"u{n % 17}", "Queued", {"n": n, "text": "x" * random.randrange(200)})
        say("kept", n)
        if random.random() < 0.05:
            time.sleep(random.random() * 0.01)


if __name__ == "__main__":
    main()
