#!/bin/sh
# The engine step of set-up: finds a container engine that answers or, where that is ours to do, installs and starts one.
#   engine.sh          the engine Hermit runs on (see HERMIT_ENGINE below)
#   engine.sh podman   a second engine for tests: Debian's Podman behind its Docker-compatible socket
# HERMIT_ENGINE=/path/to.sock or unix:///path/to.sock: use that engine and no other.
set -eu
exec </dev/null >&2
cd "$(dirname "$0")/../.."

DOCKER_SOCKET=/var/run/docker.sock
DOCKER_LOG=/var/log/hermit-dockerd.log
PODMAN_FOLDER=/run/hermit-podman
PODMAN_SOCKET=$PODMAN_FOLDER/podman.sock
PODMAN_LOG=/var/log/hermit-podman.log
INSTALL_LOG=/var/log/hermit-install.log
START_SECONDS=90

say() { echo "engine: $*"; }

fail() {
  say "$1"
  shift
  for line in "$@"; do echo "  $line"; done
  exit 1
}

found() {
  FOUND=$(./hermit engine --socket 2>/dev/null) && [ -n "$FOUND" ] && return
  # A program that cannot look must not be taken for one that found nothing: that would install an engine for no reason.
  case $(./hermit engine --json || true) in
    *'"engine":null'*) return 1 ;;
    *) fail "hermit could not look for an engine" "see its message above; after a change of the sources: make build" ;;
  esac
}

answers() { HERMIT_ENGINE=$1 ./hermit engine --socket >/dev/null 2>&1; }

is_running() { cat /proc/[0-9]*/comm 2>/dev/null | grep -qx "$1"; }

is_systemd() { [ -d /run/systemd/system ]; }

is_debian_family() {
  [ -r /etc/os-release ] || return 1
  # shellcheck disable=SC1091 # a file of the machine, not of the project
  (. /etc/os-release && case " ${ID:-} ${ID_LIKE:-} " in *" debian "* | *" ubuntu "* | *" raspbian "*) ;; *) exit 1 ;; esac)
}

await() { # socket, process name, log
  waited=0
  until answers "$1"; do
    # A process that is gone will not answer any more; the first seconds are left to the start itself.
    if [ "$waited" -ge "$START_SECONDS" ] || { [ "$waited" -ge 3 ] && ! is_running "$2"; }; then
      say "$2 does not answer on $1; its last words:"
      if [ -s "$3" ]; then tail -n 5 "$3"; elif is_systemd; then journalctl -q --no-pager -n 5 -u docker || true; fi
      fail "fix what it says, then run this again"
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

start_detached() { # log, command…
  log=$1
  shift
  # Only the last run's words are kept, so that the log cannot grow from start to start.
  # From the root folder: whoever starts it may delete the folder it was started from.
  (cd / && exec setsid "$@" >"$log" 2>&1) &
}

install_packages() {
  say "installing $* from the distribution's archive (log: $INSTALL_LOG)"
  export DEBIAN_FRONTEND=noninteractive
  # A broken third-party source must not stop an install that needs only the distribution's own.
  apt-get update -q -o DPkg::Lock::Timeout=120 >"$INSTALL_LOG" 2>&1 ||
    say "some package sources could not be read; trying with the others"
  apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >>"$INSTALL_LOG" 2>&1 || {
    tail -n 5 "$INSTALL_LOG"
    fail "apt-get could not install $*" "clear up what it says, then: apt-get install --no-install-recommends $*"
  }
}

install_docker() {
  packages=docker.io
  # With AppArmor in the kernel and no parser on disk, dockerd starts and then refuses every container.
  if grep -qs Y /sys/module/apparmor/parameters/enabled && ! command -v apparmor_parser >/dev/null; then
    packages="$packages apparmor"
  fi
  # shellcheck disable=SC2086 # a list of package names
  install_packages $packages
}

start_docker() {
  if is_systemd; then
    say "starting docker.service"
    systemctl enable --now docker.service || true
  elif ! is_running dockerd; then
    # Left over from a power cut, a pid file naming a number in use again would stop the start.
    rm -f /var/run/docker.pid
    is_running containerd || rm -f /var/run/docker/containerd/containerd.pid
    say "starting dockerd (log: $DOCKER_LOG; to stop it: kill \$(cat /var/run/docker.pid))"
    start_detached "$DOCKER_LOG" dockerd
  fi
  await "$DOCKER_SOCKET" dockerd "$DOCKER_LOG"
}

use_engine() {
  if found; then
    say "using $FOUND"
    return
  fi
  if [ -n "${HERMIT_ENGINE:-}" ]; then
    fail "HERMIT_ENGINE=$HERMIT_ENGINE does not answer" \
      "start that engine, check that you may open its socket, or unset HERMIT_ENGINE to let Hermit look for one"
  fi
  [ "$(id -u)" = 0 ] || advise_user
  if ! command -v dockerd >/dev/null; then
    is_debian_family || advise_user
    install_docker
  fi
  start_docker
  found || fail "docker was started but is not found" "set HERMIT_ENGINE=$DOCKER_SOCKET"
  say "using $FOUND"
}

advise_user() {
  again="then run the same command again"
  as_root=sudo
  [ "$(id -u)" != 0 ] || as_root=
  user=$(id -un)
  if [ -S "$DOCKER_SOCKET" ] && [ ! -w "$DOCKER_SOCKET" ]; then
    fail "$user may not open $DOCKER_SOCKET; type (the docker group is as powerful as root):" \
      "sudo usermod -aG docker $user && exec su - $user" "$again"
  fi
  if [ "$(uname -s)" = Darwin ]; then
    fail "no container engine answers; start Docker Desktop, or type:" \
      "brew install colima docker && colima start" \
      "export HERMIT_ENGINE=\$HOME/.colima/default/docker.sock" "$again"
  fi
  if command -v podman >/dev/null && is_systemd; then
    fail "Podman is installed but its socket is not served; type:" "systemctl --user enable --now podman.socket" "$again"
  fi
  if command -v dockerd >/dev/null; then
    fail "Docker is installed but does not answer; type:" "$as_root systemctl enable --now docker" "$again"
  fi
  if is_debian_family; then
    install="apt-get update && $as_root apt-get install -y --no-install-recommends docker.io"
  elif command -v dnf >/dev/null; then
    fail "no container engine answers; type:" "$as_root dnf install -y podman" \
      "systemctl --user enable --now podman.socket" "$again"
  elif command -v zypper >/dev/null; then install="zypper install -y docker && $as_root systemctl enable --now docker"
  elif command -v pacman >/dev/null; then install="pacman -S --noconfirm docker && $as_root systemctl enable --now docker"
  elif command -v apk >/dev/null; then install="apk add docker && $as_root rc-update add docker && $as_root service docker start"
  else
    fail "no container engine answers" "install Docker or Podman with your system's package manager and start it, $again"
  fi
  set -- "${as_root:+$as_root }$install"
  [ "$user" = root ] || set -- "$@" "sudo usermod -aG docker $user && exec su - $user"
  fail "no container engine answers; type:" "$@" "$again"
}

# Podman gives every container file and process limits above what a root without CAP_SYS_RESOURCE may set; the
# process limit it gives itself is the ceiling of the second one.
podman_limits() {
  awk '
    function least(a, b) { return a == "unlimited" || a + 0 > b ? b : a }
    /^Max open files/ { files = least($5, 1048576) }
    /^Max processes/ { processes = least($4, 32768) }
    END { printf "[containers]\ndefault_ulimits = [\"nofile=%d:%d\", \"nproc=%d:%d\"]\n", files, files, processes, processes }
  ' /proc/self/limits
}

serve_podman() {
  if answers "$PODMAN_SOCKET"; then
    say "podman answers on $PODMAN_SOCKET"
    return
  fi
  [ "$(id -u)" = 0 ] || fail "the Podman of the tests is started as root" "sudo sh runner-image/build/engine.sh podman"
  if ! command -v podman >/dev/null || ! command -v runc >/dev/null; then
    is_debian_family || fail "podman or runc is missing" "install both with your system's package manager, then run this again"
    install_packages podman runc
  fi
  mkdir -p -m 0700 "$PODMAN_FOLDER"
  say "starting podman system service (log: $PODMAN_LOG)"
  podman_limits >"$PODMAN_FOLDER/containers.conf"
  # runc and cgroupfs: crun refuses a mixed cgroup v1 and v2 machine, and without systemd as PID 1 there is no other manager.
  start_detached "$PODMAN_LOG" env CONTAINERS_CONF="$PODMAN_FOLDER/containers.conf" podman --runtime runc --cgroup-manager cgroupfs \
    system service --time=0 "unix://$PODMAN_SOCKET"
  await "$PODMAN_SOCKET" podman "$PODMAN_LOG"
  say "podman answers on $PODMAN_SOCKET"
}

case ${1:-} in
  "") use_engine ;;
  podman) serve_podman ;;
  *) fail "unknown argument: $1" "usage: engine.sh [podman]" ;;
esac
