"""The Rust process of ``worker.rs``, which does one command per line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def build() -> str:
    """Compiles the worker; where it lies."""
    command = ["cargo", "bench", "-p", "genias", "--bench", "worker", "--no-run"]
    built = subprocess.run(
        [*command, "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    (path,) = [message["executable"] for message in messages if message.get("executable")]
    return path


class Worker:
    """A running worker; call it with a command's fields."""

    def __init__(self, threads: int, path: str | None = None) -> None:
        one = {"RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [path or build()],
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
