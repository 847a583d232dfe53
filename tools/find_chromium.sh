#!/bin/sh
# Print where Chromium is, or say what to do and fail. CHROMIUM=/path/to/chrome names one; as root,
# where there is none and apt-get is, Debian's is installed.
find_one() {
    for program in "$@"; do
        command -v "$program" && return
    done
    return 1
}
find_any() {
    find_one chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
}
if [ -n "$CHROMIUM" ]; then
    find_one "$CHROMIUM" && exit
    echo "No program was found under the name CHROMIUM=$CHROMIUM." >&2
    exit 1
fi
find_any && exit
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # A bare machine has no font either to write a page with.
    { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >&2
    find_any && exit
fi
echo "No Chromium was found: install Chromium or Google Chrome, or name one with CHROMIUM=/path/to/chrome." >&2
exit 1
