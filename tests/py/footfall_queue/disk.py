"""The queue: one SQLite file that survives the process, and a lock that keeps a second process out."""

import fcntl
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused (id INTEGER PRIMARY KEY, record BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
"""


class QueueFull(Exception):
    """The queue holds as many bytes as it may; the record was not taken."""


class QueueInUse(Exception):
    """Another process, or another queue of this one, has the file open."""


@dataclass(frozen=True)
class Item:
    """A record and its place in the queue."""

    id: int
    record: bytes


class DiskQueue:
    """Records in the order of their arrival. Every method may be called from any thread, and none waits for the network.

    A record that `put` has taken survives the end of the process. A power cut may cost the last moments unless
    `survives_power_cut` is set, which makes each `put` wait for the disk.
    """

    def __init__(self, path, *, bytes_max=1 << 30, survives_power_cut=False):
        self._lock_file = open(f"{path}.lock", "w", encoding="ascii")
        try:
            # Released by the kernel when the process ends, however it ends.
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise QueueInUse(f"the queue is in use: {path}") from error
        self._bytes_max = bytes_max
        self._mutex = threading.Lock()
        self._db = sqlite3.connect(Path(path), isolation_level=None, check_same_thread=False)
        # With a write-ahead log a commit is one write; `FULL` adds a sync to it.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {'FULL' if survives_power_cut else 'NORMAL'}")
        self._db.executescript(SCHEMA)
        self._count, self._bytes = self._db.execute(
            "SELECT count(*), coalesce(sum(length(record)), 0) FROM waiting"
        ).fetchone()

    def put(self, record):
        """Adds a record at the end and returns its id. When this returns the record will not be lost."""
        with self._mutex:
            if self._bytes + len(record) > self._bytes_max:
                raise QueueFull(f"the queue holds {self._bytes} of at most {self._bytes_max} bytes")
            id = self._db.execute("INSERT INTO waiting (record) VALUES (?)", (record,)).lastrowid
            self._count += 1
            self._bytes += len(record)
            return id

    def head(self, count_max, bytes_max):
        """The oldest records, as many as fit both bounds but at least one, if there is one."""
        with self._mutex:
            rows = self._db.execute("SELECT id, record FROM waiting ORDER BY id LIMIT ?", (count_max,))
            items, size = [], 0
            for id, record in rows:
                size += len(record)
                if items and size > bytes_max:
                    break
                items.append(Item(id, record))
            rows.close()
            return items

    def settle(self, items, refused):
        """Takes records out of the queue, in one step: their fate is known. `refused` maps the ids of those that the server
        will never take to its reasons; they are kept aside."""
        with self._mutex:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("DELETE FROM waiting WHERE id = ?", [(item.id,) for item in items])
                aside = [(item.id, item.record, refused[item.id], time.time()) for item in items if item.id in refused]
                self._db.executemany("INSERT INTO refused VALUES (?, ?, ?, ?)", aside)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._count -= len(items)
            self._bytes -= sum(len(item.record) for item in items)

    def size(self):
        """Records and bytes that wait."""
        with self._mutex:
            return self._count, self._bytes

    def first_id(self):
        """The id of the oldest record that waits, or `None`."""
        with self._mutex:
            return self._db.execute("SELECT min(id) FROM waiting").fetchone()[0]

    def last_id(self):
        """The id of the newest record ever put, or 0."""
        with self._mutex:
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'waiting'").fetchone()
            return row[0] if row else 0

    def refused(self):
        """Records that the server refused for good, oldest first, each with the reason."""
        with self._mutex:
            return self._db.execute("SELECT record, reason FROM refused ORDER BY id").fetchall()

    def close(self):
        with self._mutex:
            self._db.close()
            self._lock_file.close()
