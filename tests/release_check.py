"""The last part of ``make release-check``: what is too slow, or too strict, for every change.

python tests/release_check.py FOLDER_OF_WHEELS
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def say(*command: str) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def version() -> str:
    """The version, which has to be the newest release of the changelog."""
    (here,) = re.findall(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    releases = re.findall(r"^## \[(\d.*)\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not releases or releases[0] != here:
        sys.exit(f"version {here} of Cargo.toml is not the newest release of CHANGELOG.md")
    return here


def main(wheels: Path) -> None:
    """Stops at the first thing that is not as it has to be."""
    if say("git", "status", "--porcelain"):
        sys.exit("the working tree is not clean")
    if shutil.which("cargo-deny"):
        say("cargo", "deny", "check", "licenses", "bans", "sources")
    else:
        print("cargo-deny is not installed; the tests have read the licences")
    said = say("cargo", "package", "-p", "genias", "--locked")
    # The profile of the workspace also names crates that only the plugin depends on.
    known = r"warning: profile package spec `.*` in profile `release` did not match.*"
    if "warning" in re.sub(known, "", said):
        sys.exit(said)
    here = version()
    (wheel,) = wheels.glob("polars_genias-*.whl")
    if not wheel.name.startswith(f"polars_genias-{here}-cp310-abi3-"):
        sys.exit(f"{wheel.name} is not an abi3 wheel of version {here}")
    if wheel.stat().st_size >= 25e6:
        sys.exit(f"{wheel.name} has {wheel.stat().st_size} bytes")
    print(f"ready: {here}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
