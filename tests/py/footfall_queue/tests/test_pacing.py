import unittest

from footfall_queue.pacing import Backoff, BatchSize


class BackoffTest(unittest.TestCase):
    def test_waits_double_up_to_the_longest_and_begin_anew_after_a_success(self):
        backoff = Backoff(first=1, longest=10, draw=lambda: 1.0)
        self.assertEqual([backoff.failed() for _ in range(6)], [1, 2, 4, 8, 10, 10])
        backoff.succeeded()
        self.assertEqual(backoff.failed(), 1)

    def test_a_wait_is_between_half_and_whole(self):
        self.assertEqual(Backoff(first=8, draw=lambda: 0.0).failed(), 4)
        self.assertEqual(Backoff(first=8, draw=lambda: 0.5).failed(), 6)

    def test_the_server_is_never_asked_before_it_wants_to(self):
        self.assertEqual(Backoff(first=1, draw=lambda: 0.0).failed(retry_after=30), 30)
        self.assertEqual(Backoff(first=1, draw=lambda: 1.0).failed(retry_after=30), 30.5)

    def test_a_year_of_failures_is_no_overflow(self):
        backoff = Backoff(first=0.5, longest=60, draw=lambda: 1.0)
        self.assertEqual([backoff.failed() for _ in range(2000)][-1], 60)


class BatchSizeTest(unittest.TestCase):
    def test_halves_down_to_one_record_and_grows_back(self):
        size = BatchSize(count_max=8, bytes_max=800)
        self.assertEqual([size.too_large(8), (size.count, size.bytes)], [True, (4, 400)])
        # What was sent counts, not what might have been.
        self.assertEqual([size.too_large(2), (size.count, size.bytes)], [True, (1, 200)])
        self.assertFalse(size.too_large(1))
        for _ in range(10 * BatchSize.GROWS_AFTER):
            size.succeeded()
        self.assertEqual((size.count, size.bytes), (8, 800))

    def test_a_refusal_starts_the_count_of_successes_anew(self):
        size = BatchSize(count_max=8, bytes_max=800)
        size.too_large(8)
        for _ in range(BatchSize.GROWS_AFTER - 1):
            size.succeeded()
        size.too_large(4)
        size.succeeded()
        self.assertEqual(size.count, 2)
