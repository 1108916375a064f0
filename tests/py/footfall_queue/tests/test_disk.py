import tempfile
import unittest
from pathlib import Path

from footfall_queue.disk import DiskQueue, QueueFull, QueueInUse


class DiskQueueTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "queue"

    def open(self, **options):
        queue = DiskQueue(self.path, **options)
        self.addCleanup(queue.close)
        return queue

    def records(self, queue, count=100, size=1 << 20):
        return [item.record for item in queue.head(count, size)]

    def test_records_come_back_in_order_after_the_queue_was_opened_again(self):
        queue = self.open()
        for n in range(5):
            queue.put(b"record %d" % n)
        queue.close()
        queue = self.open()
        self.assertEqual(self.records(queue), [b"record %d" % n for n in range(5)])
        self.assertEqual(queue.size(), (5, 5 * len(b"record 0")))

    def test_a_head_fits_both_bounds_and_holds_one_record_at_least(self):
        queue = self.open()
        for record in (b"a" * 10, b"b" * 10, b"c" * 10):
            queue.put(record)
        self.assertEqual(len(self.records(queue, count=2)), 2)
        self.assertEqual(len(self.records(queue, size=20)), 2)
        self.assertEqual(len(self.records(queue, size=19)), 1)
        self.assertEqual(len(self.records(queue, size=1)), 1)

    def test_settled_records_are_gone_and_refused_ones_kept_aside(self):
        queue = self.open()
        for record in (b"a", b"b", b"c"):
            queue.put(record)
        head = queue.head(2, 100)
        queue.settle(head, {head[1].id: "not nice"})
        self.assertEqual((self.records(queue), queue.refused()), ([b"c"], [(b"b", "not nice")]))
        queue.close()
        queue = self.open()
        self.assertEqual((self.records(queue), queue.refused()), ([b"c"], [(b"b", "not nice")]))
        self.assertEqual(queue.size(), (1, 1))

    def test_ids_are_never_given_twice(self):
        queue = self.open()
        first = queue.put(b"a")
        queue.settle(queue.head(1, 100), {})
        self.assertEqual((queue.first_id(), queue.last_id()), (None, first))
        self.assertGreater(queue.put(b"b"), first)

    def test_a_full_queue_takes_nothing_and_loses_nothing(self):
        queue = self.open(bytes_max=10)
        queue.put(b"a" * 8)
        with self.assertRaises(QueueFull):
            queue.put(b"b" * 3)
        queue.put(b"c" * 2)
        queue.settle(queue.head(1, 100), {})
        queue.put(b"d" * 8)
        self.assertEqual(self.records(queue), [b"cc", b"d" * 8])

    def test_a_second_owner_is_kept_out_until_the_first_is_gone(self):
        queue = self.open()
        with self.assertRaises(QueueInUse):
            DiskQueue(self.path)
        queue.close()
        self.open()
