import logging
import tempfile
import threading
import unittest
from pathlib import Path

from footfall_queue.delivery import Taken, TooLarge, TryAgain
from footfall_queue.disk import DiskQueue
from footfall_queue.pacing import Backoff
from footfall_queue.sender import Limits, Sender

NEVER = 3600.0
PROMPT = 30.0
"""A bound for what happens at once, on a machine however busy."""


class Server:
    """Answers batches by a function of them, and remembers them; `told` is set at each."""

    def __init__(self, answer=lambda batch: Taken()):
        self.answer = answer
        self.batches = []
        self.told = threading.Semaphore(0)

    def send(self, records):
        self.batches.append(list(records))
        outcome = self.answer(records)
        self.told.release()
        return outcome

    def close(self):
        pass


class SenderTest(unittest.TestCase):
    def setUp(self):
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.queue = DiskQueue(Path(folder.name) / "queue")
        self.addCleanup(self.queue.close)

    def start(self, server, **limits):
        limits = Limits(**{"records": 3, "bytes": 1 << 20, "seconds": NEVER, **limits})
        sender = Sender(self.queue, server, limits, Backoff(first=0.001, longest=0.001))
        self.addCleanup(sender.stop)
        return sender

    def put(self, sender, *records):
        for record in records:
            sender.put(record)

    def wait_for_batches(self, server, count):
        for _ in range(count):
            self.assertTrue(server.told.acquire(timeout=PROMPT))

    def test_a_batch_leaves_when_it_has_its_count(self):
        server = Server()
        self.put(self.start(server), b"a", b"b", b"c")
        self.wait_for_batches(server, 1)
        self.assertEqual(server.batches, [[b"a", b"b", b"c"]])

    def test_a_batch_leaves_when_it_has_its_bytes(self):
        server = Server()
        self.put(self.start(server, records=100, bytes=4), b"aa", b"bb")
        self.wait_for_batches(server, 1)
        self.assertEqual(server.batches, [[b"aa", b"bb"]])

    def test_a_batch_leaves_when_its_oldest_record_has_waited(self):
        server = Server()
        self.put(self.start(server, records=100, seconds=0.05), b"a")
        self.wait_for_batches(server, 1)

    def test_what_an_earlier_run_left_behind_leaves_at_once(self):
        self.queue.put(b"left")
        server = Server()
        self.start(server, seconds=1.0)
        self.wait_for_batches(server, 1)
        self.assertEqual(server.batches, [[b"left"]])

    def test_a_flush_takes_everything_and_waits_for_its_fate(self):
        server = Server()
        sender = self.start(server)
        self.put(sender, b"a", b"b", b"c", b"d")
        self.assertTrue(sender.flush(PROMPT))
        self.assertEqual((self.queue.size()[0], sum(server.batches, [])), (0, [b"a", b"b", b"c", b"d"]))

    def test_failures_drop_nothing_and_keep_the_order(self):
        failures = [TryAgain("503"), TryAgain("429", 0.001), TryAgain("no reply")]
        server = Server(lambda batch: failures.pop() if failures else Taken())
        sender = self.start(server)
        self.put(sender, b"a", b"b")
        self.assertTrue(sender.flush(PROMPT))
        self.assertEqual(server.batches, [[b"a", b"b"]] * 4)

    def test_too_large_batches_are_halved_and_what_is_too_large_alone_is_refused(self):
        def answer(batch):
            return TooLarge("413") if len(batch) > 2 or b"huge" in batch else Taken()

        server = Server(answer)
        sender = self.start(server, records=8)
        self.put(sender, *[b"%d" % n for n in range(6)], b"huge", b"last")
        self.assertTrue(sender.flush(PROMPT))
        taken = [record for batch in server.batches if isinstance(answer(batch), Taken) for record in batch]
        self.assertEqual(taken, [b"0", b"1", b"2", b"3", b"4", b"5", b"last"])
        self.assertEqual(self.queue.refused(), [(b"huge", "413")])

    def test_refused_records_do_not_stop_the_others(self):
        server = Server(lambda batch: Taken({batch.index(b"bad"): "why"}) if b"bad" in batch else Taken())
        sender = self.start(server)
        self.put(sender, b"a", b"bad", b"c")
        self.assertTrue(sender.flush(PROMPT))
        self.assertEqual((self.queue.refused(), len(server.batches)), ([(b"bad", "why")], 1))

    def test_a_caller_is_not_held_up_by_a_server_that_does_not_answer(self):
        let_go = threading.Event()
        entered = threading.Event()

        def answer(batch):
            entered.set()
            let_go.wait(PROMPT)
            return Taken()

        sender = self.start(Server(answer))
        self.addCleanup(let_go.set)
        self.put(sender, b"a", b"b", b"c")
        self.assertTrue(entered.wait(PROMPT))
        self.put(sender, *[b"%d" % n for n in range(100)])
        self.assertEqual(self.queue.size()[0], 103, "all taken while the first batch is still on its way")
        self.assertFalse(sender.flush(0.01))
        let_go.set()
        self.assertTrue(sender.flush(PROMPT))

    def test_an_error_of_its_own_does_not_end_the_thread(self):
        errors = [OSError("disk full")]

        def answer(batch):
            if errors:
                raise errors.pop()
            return Taken()

        sender = self.start(Server(answer))
        self.put(sender, b"a")
        self.assertTrue(sender.flush(PROMPT))

    def test_stopping_cuts_a_long_wait_short_and_leaves_the_rest_on_the_disk(self):
        server = Server(lambda batch: TryAgain("503", NEVER))
        sender = self.start(server)
        self.put(sender, b"a", b"b", b"c")
        self.wait_for_batches(server, 1)
        sender.stop(PROMPT)
        self.assertEqual([item.record for item in self.queue.head(9, 99)], [b"a", b"b", b"c"])
