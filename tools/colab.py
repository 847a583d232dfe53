"""In Colab: install what the notebooks need and go to their folder; their first cell calls this.

The lock would replace Colab's own kernel. So what `pyproject.toml` pins is installed, and what that
needs in turn is as new as it may be. Where Python is too new for TensorFlow 2.15 the notebooks that
train nothing work; see docs/online.md.
"""

import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAINS = sys.version_info < (3, 12)  # TensorFlow 2.15 and its add-ons have packages for these
EXTRAS, OTHERS = ("train,archive", ()) if TRAINS else ("archive", ("motmetrics",))


def installed():
    """Whether the package is there already, from before the kernel began anew."""
    try:
        return bool(version("instanceid-utils"))
    except PackageNotFoundError:
        return False


def main():
    """Install, end the kernel so that Colab starts it anew with that, or go to the notebooks."""
    if not installed():
        if not TRAINS:
            print("Python here is too new for TensorFlow 2.15: see docs/online.md for what works.")
        wanted = (f"{ROOT}[{EXTRAS}]", "idx2numpy", *OTHERS)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
        print("Installed. The kernel starts anew: then run all cells.", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    os.chdir(ROOT / "notebooks")


if __name__ == "__main__":
    main()
