import gzip
import json
import threading
import unittest
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer

from footfall_queue.delivery import Delivery, Taken, TooLarge, TryAgain, judge, retry_after

NOT_VALID = {
    "code": 400,
    "error": "some data points in the request failed validation",
    "failed_records": [{"index": 1, "insert_id": "x", "field": "event", "message": "'event' must not be missing or blank"}],
    "num_records_imported": 2,
    "status": "Bad Request",
}


def said(status, body, **headers):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(status, {name.replace("_", "-"): value for name, value in headers.items()}, text, 3)


class JudgeTest(unittest.TestCase):
    def test_only_the_server_itself_can_acknowledge(self):
        self.assertEqual(said(200, {"code": 200, "num_records_imported": 3, "status": "OK"}), Taken())
        for page in (b"<html>Welcome to the hotel</html>", b"", b"1", [], {"code": 500}):
            self.assertIsInstance(said(200, page), TryAgain)

    def test_refused_records_are_named_and_the_rest_is_taken(self):
        self.assertEqual(said(400, NOT_VALID), Taken({1: "'event' must not be missing or blank"}))

    def test_a_record_outside_the_batch_is_no_refusal(self):
        for index in (3, -1, None, "1"):
            wrong = {**NOT_VALID, "failed_records": [{"index": index, "message": "?"}]}
            self.assertIsInstance(said(400, wrong), TooLarge)

    def test_large_and_unreadable_batches_are_to_be_cut(self):
        for status in (400, 413, 422):
            self.assertIsInstance(said(status, {"error": "no"}), TooLarge)

    def test_everything_else_may_pass(self):
        for status in (301, 401, 403, 404, 408, 429, 500, 502, 503, 504):
            self.assertIsInstance(said(status, {"error": "not now"}), TryAgain)
        self.assertEqual(said(429, {"error": "slow"}, Retry_After="7"), TryAgain("429 slow", 7.0))

    def test_retry_after_is_a_number_or_a_date(self):
        now = 1_700_000_000
        cases = {"3": 3.0, "-3": 0.0, formatdate(now + 5, usegmt=True): 5.0, formatdate(now - 5, usegmt=True): 0.0}
        for text, want in {**cases, "soon": None, "": None}.items():
            self.assertEqual(retry_after(text, now=lambda: now), want, text)
        self.assertIsNone(retry_after(None))


class Recorder(BaseHTTPRequestHandler):
    """Answers as it is told, and keeps what it was sent. A status of 0 hangs up without a word."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        status = self.server.statuses.pop(0)
        if status == 0:
            self.close_connection = True
            return
        text = json.dumps({"code": status, "status": "OK"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class DeliveryTest(unittest.TestCase):
    def setUp(self):
        self.server = HTTPServer(("127.0.0.1", 0), Recorder)
        self.server.requests, self.server.statuses = [], []
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.delivery = Delivery(f"http://127.0.0.1:{self.server.server_port}/", "token")
        self.addCleanup(self.delivery.close)

    def test_a_batch_is_lines_of_json_under_the_project_token(self):
        self.server.statuses = [200]
        self.assertEqual(self.delivery.send([b'{"event":"A"}', b'{"event":"B"}']), Taken())
        path, headers, body = self.server.requests[0]
        self.assertEqual((path, gzip.decompress(body)), ("/import?strict=1", b'{"event":"A"}\n{"event":"B"}'))
        self.assertEqual((headers["Authorization"], headers["Content-Type"]), ("Basic dG9rZW46", "application/x-ndjson"))

    def test_a_broken_connection_says_nothing_and_the_next_batch_opens_another(self):
        self.server.statuses = [0, 200]
        self.assertIsInstance(self.delivery.send([b"{}"]), TryAgain)
        self.assertEqual(self.delivery.send([b"{}"]), Taken())

    def test_a_server_that_is_away_is_tried_again(self):
        delivery = Delivery("http://127.0.0.1:1", "token")
        self.assertIsInstance(delivery.send([b"{}"]), TryAgain)
