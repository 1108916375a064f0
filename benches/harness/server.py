"""The real `footfall` binary under test: made a project, started, loaded, stopped, asked over HTTP."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path


class Footfall:
    """A server over one data folder. Start it, stop it with SIGTERM as an operator does, start it again."""

    def __init__(self, binary: Path, data_dir: Path, log: Path, serve_args: list[str]):
        self.binary, self.data_dir, self.log, self.serve_args = binary, data_dir, log, serve_args
        made = subprocess.run(
            [binary, "project", "create", "bench", "--json", "--data-dir", data_dir],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.project = json.loads(made.stdout)
        account = self.project["service_account"]
        token = base64.b64encode(f"{account['username']}:{account['secret']}".encode()).decode()
        self.headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self.process = None
        self.connection = None
        self.port = 0

    def command(self) -> list[str]:
        listen = f"127.0.0.1:{self.port}"
        return [str(self.binary), "serve", "--data-dir", str(self.data_dir), "--http", listen, *self.serve_args]

    def start(self) -> float:
        """Seconds until it says it is ready."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        started = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        while time.perf_counter() - started < 300:
            if self.process.poll() is not None:
                raise RuntimeError(f"footfall ended with {self.process.returncode}; see {self.log}")
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
                if self.get("/readyz")[0] == 200:
                    return time.perf_counter() - started
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"footfall was not ready within 300 s; see {self.log}")

    def stop(self) -> float:
        """Seconds from SIGTERM to the end; what was acknowledged is then in the tables."""
        started = time.perf_counter()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(timeout=600)
            if code != 0:
                raise RuntimeError(f"footfall stopped with {code}; see {self.log}")
        return time.perf_counter() - started

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **parameters) -> tuple[int, bytes]:
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        self.connection.request("GET", path + query, headers=self.headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def sql(self, query: str) -> bytes:
        body = json.dumps({"query": query})
        self.connection.request("POST", "/v1/sql", body=body, headers=self.headers)
        response = self.connection.getresponse()
        return self._good(response.status, response.read())

    def segmentation(self, parameters: dict) -> bytes:
        status, body = self.get("/api/query/segmentation", project_id=self.project["project_id"], **parameters)
        return self._good(status, body)

    def peak_memory(self) -> int:
        """Bytes resident at most since the start."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self) -> float:
        """Processor time of all its threads since the start, in user space and in the kernel."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bytes_on_disk(self) -> dict[str, int]:
        """Parquet alone, and all that the folder holds."""
        sizes = {"parquet": 0, "all": 0, "files": 0}
        for folder, _, names in os.walk(self.data_dir):
            for name in names:
                size = os.path.getsize(os.path.join(folder, name))
                sizes["all"] += size
                if name.endswith(".parquet") and "checkpoint" not in name:
                    sizes["parquet"] += size
                    sizes["files"] += 1
        return sizes

    @staticmethod
    def _good(status: int, body: bytes) -> bytes:
        if status != 200:
            raise RuntimeError(f"footfall answered {status}: {body[:500]!r}")
        return body
