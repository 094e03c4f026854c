"""The Rust process of ``worker.rs``, which does one command per line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

# Always both crates, and PyO3 as maturin calls it: otherwise cargo compiles the dependencies again.
BUILD = ["cargo", "bench", "-p", "genias", "-p", "genias-polars", "--bench", "worker", "--no-run"]


def as_wheel() -> dict[str, str]:
    """The environment of the build of the wheel, where one was built and none is given."""
    configs = sorted((ROOT / "target" / "maturin").glob("pyo3-config-*.txt"))
    if not configs:
        return {}
    return {"PYO3_BUILD_EXTENSION_MODULE": "1", "PYO3_CONFIG_FILE": str(configs[0])}


def build() -> str:
    """Compiles the worker, unless it is up to date; where it lies."""
    built = subprocess.run(
        [*BUILD, "--message-format=json"],
        cwd=ROOT,
        env={**as_wheel(), **os.environ},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    (path,) = [message["executable"] for message in messages if message.get("executable")]
    return path


class Worker:
    """A running worker; call it with a command's fields."""

    def __init__(self, threads: int) -> None:
        one = {"RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [build()],
            env={**os.environ, **one},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, **command: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker stopped at {command}")
        return json.loads(answer)

    def cpu(self) -> float:
        """CPU seconds of its threads so far."""
        # What clock_getcpuclockid(3) returns on Linux.
        return time.clock_gettime(~self.process.pid << 3 | 2)
