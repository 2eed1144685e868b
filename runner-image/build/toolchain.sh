#!/bin/sh
# Installs the dependencies, the pinned Node among them, from the lockfile. Any Node from 18 on with npm will do for this step.
set -eu
exec </dev/null >&2
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$root"
# Content, not time: a fresh clone has fresh times.
want=$(cat package.json package-lock.json .npmrc | sha256sum | cut -d' ' -f1)
stamp=node_modules/.hermit-lock
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "toolchain: installing the distribution's Node and npm, to bootstrap with"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
  else
    echo "toolchain: npm is needed. Install it, for example with \`sudo apt-get install nodejs npm\`, and try again."
    exit 1
  fi
fi
echo "toolchain: installing dependencies from the lockfile"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
echo "$want" >"$stamp"
