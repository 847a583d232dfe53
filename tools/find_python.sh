#!/bin/sh
# Print the first Python that the course can be set up with, or say what to do and fail.
# Usage: find_python.sh [PYTHON...]; without one it looks for the usual names.
check=$(dirname "$0")/setup_check.py
[ -n "$1" ] || set -- python3.11 python3.10 python3.9 python3 python
said=
for python in "$@"; do
    message=$("$python" "$check" 2>&1)
    case $? in
        0) echo "$python"; exit 0 ;;
        1) said=${said:-$message} ;; # any other code: there is no such program
    esac
done
echo "${said:-No Python was found under the name $*: install Python 3.11 and put it on the PATH, or name it with \`make run PYTHON=/path/to/python3.11\`.}" >&2
exit 1
