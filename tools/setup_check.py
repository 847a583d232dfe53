"""Tell whether the course can be set up with this Python, before anything is installed.

Runs under any Python from 2.7 on, so that a wrong one gets a sentence and no traceback:
``python3 setup_check.py`` prints nothing and exits with 0, or prints what to do and exits with 1.
"""

import platform
import struct
import sys

PYTHONS = ((3, 9), (3, 10), (3, 11))  # those for which tensorflow-addons has wheels
MACOS = (14, 0)  # the oldest for which faiss-cpu has wheels
GLIBC = (2, 28)  # the oldest Linux C library for which all locked wheels are made
ADVICE = (
    "install Python 3.11 (from python.org, conda, pyenv or your system's packages), "
    "and name it if it is not found, as in `make run PYTHON=/path/to/python3.11`"
)


def _numbers(version):
    """Return the leading numbers of a version: "14.5.1" -> (14, 5)."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return tuple(numbers) if numbers else None


def problem(python, implementation, bits, system, machine, macos="", libc=("", "")):
    """Return the sentence that says what is wrong and what to do, or None if all is well.

    Parameters
    ----------
    python : tuple of int
        (major, minor) of the interpreter.
    implementation, system, machine : str
        As ``platform`` names them: "CPython", "Linux" or "Darwin", "x86_64" or "arm64".
    bits : int
        Size of a pointer in the interpreter.
    macos : str
        Version of macOS, empty elsewhere.
    libc : tuple of str
        Name and version of the C library that the interpreter is linked with.
    """
    if system not in ("Linux", "Darwin"):
        return (
            "InstanceID runs on Linux and macOS, as tensorflow-addons has no release for {}: "
            "on Windows, run `make` inside WSL 2 (https://learn.microsoft.com/windows/wsl)."
        ).format(system)
    if system == "Linux" and machine not in ("x86_64", "AMD64"):
        return (
            "InstanceID needs an x86-64 processor on Linux, as tensorflow-addons has no release "
            "for Linux on {}: use an x86-64 machine, or macOS.".format(machine)
        )
    if implementation != "CPython" or bits != 64:
        return "InstanceID needs a 64-bit CPython, and this is a {}-bit {}: {}.".format(
            bits, implementation, ADVICE
        )
    if tuple(python) not in PYTHONS:
        return "InstanceID needs Python 3.9, 3.10 or 3.11, and this is {}.{}: {}.".format(
            python[0], python[1], ADVICE
        )
    # An old build of Python calls every macOS from 11 on "10.16".
    if system == "Darwin" and macos != "10.16" and (_numbers(macos) or MACOS) < MACOS:
        return (
            "InstanceID needs macOS 14 or newer, as faiss-cpu has no release for {}: "
            "update macOS, or use an x86-64 Linux machine.".format(macos)
        )
    if system == "Linux" and (libc[0] != "glibc" or (_numbers(libc[1]) or GLIBC) < GLIBC):
        return (
            "InstanceID needs a Linux with glibc 2.28 or newer, such as Debian 10, Ubuntu 20.04 "
            "or RHEL 8, and this one has {}: use a newer system, or a container with one."
        ).format(" ".join(libc).strip() or "another C library")
    return None


def main():
    """Check this interpreter and this machine, and return the exit code."""
    message = problem(
        sys.version_info[:2],
        platform.python_implementation(),
        8 * struct.calcsize("P"),
        platform.system(),
        platform.machine(),
        platform.mac_ver()[0],
        platform.libc_ver(),
    )
    if message is None:
        try:
            import ensurepip  # noqa: F401 - Debian puts it in a package of its own
        except ImportError:
            message = (
                "This Python cannot make virtual environments: install its venv package "
                "(`sudo apt install python{}.{}-venv` on Debian and Ubuntu)."
            ).format(*sys.version_info[:2])
    if message:
        sys.stderr.write(message + "\n")
    return 1 if message else 0


if __name__ == "__main__":
    sys.exit(main())
