"""Build backend: maturin, after a look for Rust.

Without Rust, maturin itself would download a toolchain and compile Polars for half an hour, without
asking.
"""

import os
import shutil

from maturin import *  # noqa: F403

if not (shutil.which("cargo") or os.environ.get("CARGO")):
    raise SystemExit(
        "polars-genias: to build from source, install Rust (https://rustup.rs), and put cargo on "
        "the PATH; or install a wheel"
    )
