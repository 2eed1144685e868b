#!/bin/sh
# trim.sh ROOT: makes a fresh Debian root file system small, and the same whoever builds it and when.
# Both ways to the image end here. HERMIT_DROP lists the packages (patterns) to take out against their dependents.
# It arrives on a command line, so that it also runs where the builder's own files cannot be read.
set -euf
root=${1%/}

inside() { chroot "$root/" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }

remove() { # paths below the root, patterns allowed
  set +f
  for path in "$@"; do
    # shellcheck disable=SC2086 # patterns are meant to expand
    rm -rf "$root"/$path
  done
  set -f
}

drop_packages() {
  # shellcheck disable=SC2086 # a list of patterns
  dropped=$(inside dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' $HERMIT_DROP 2>/dev/null | sed -n 's/^ii *//p')
  # shellcheck disable=SC2086 # a list of package names
  [ -z "$dropped" ] || warnings=$(inside dpkg --purge --force-depends $dropped 2>&1) || {
    echo "$warnings" >&2
    return 1
  }
}

remove_documents() {
  # Copyright files stay: the licences ask for them.
  find "$root/usr/share/doc" -mindepth 1 ! -type d ! -name copyright -delete
  find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
  remove usr/share/man usr/share/info usr/share/doc-base usr/share/lintian usr/share/bug usr/share/bash-completion
  remove 'usr/share/locale/*' usr/share/i18n 'etc/alternatives/*.gz'
}

remove_unused_programs() {
  # Git's servers, mail and web front ends: there is no network to serve.
  remove usr/bin/git-shell usr/bin/scalar usr/lib/git-core/scalar usr/share/gitweb 'usr/lib/git-core/git-*daemon'
  remove usr/lib/git-core/git-http-backend usr/lib/git-core/git-imap-send usr/lib/git-core/git-shell
  # The package tools: nothing is installed at run time. The status file stays, scanners and our own lock read it.
  remove 'usr/bin/dpkg*' 'usr/sbin/dpkg*' 'usr/bin/debconf*' 'usr/sbin/debconf*' 'usr/bin/apt*' etc/apt etc/dpkg usr/lib/dpkg usr/lib/apt
  remove usr/share/dpkg usr/share/debconf usr/share/perl5/Debconf usr/share/perl5/Debian usr/share/perl5/Dpkg
  remove var/lib/dpkg/info 'var/lib/dpkg/*-old' var/lib/dpkg/triggers var/lib/dpkg/available var/cache/debconf
}

remove_traces_of_the_build() {
  remove 'var/cache/*' 'var/log/*' var/lib/apt 'var/tmp/*' 'tmp/*' var/lib/systemd
  remove 'etc/*-' etc/.pwd.lock 'root/.[!.]*'
}

compile_python() {
  # The default compiled form names the source's time and hashes strings with a random seed; this one does neither.
  # It must ship: a read-only root cannot cache it, and every start of Python would compile anew.
  libraries=$(cd "$root" && find usr/lib -maxdepth 1 -name 'python3*')
  [ -n "$libraries" ] || return 0
  for library in $libraries; do
    find "$root/$library" -depth -type d -name __pycache__ -exec rm -rf {} +
    inside PYTHONHASHSEED=0 python3 -m compileall -q -f --invalidation-mode unchecked-hash "/$library"
  done
}

clear_our_places() {
  # What the image puts there itself must not be there already: an engine refuses a path that comes twice.
  remove workspace opt/hermit usr/local/bin/node usr/share/doc/node
  mkdir -p "$root/tmp"
  chmod 1777 "$root/tmp"
}

disarm() {
  find "$root/usr" "$root/var" -xdev -type f -perm /6000 -exec chmod ug-s {} +
}

drop_packages
compile_python
remove_documents
remove_unused_programs
remove_traces_of_the_build
clear_our_places
disarm
