# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tools/quickstart and tools/test share: installing Debian's packages, and looking whether there is io_uring.

say() {
    printf '%s\n' "$*"
}

complain() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    complain "$*"
    exit 1
}

# Those of the given packages that are not installed, on one line.
missing_packages() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    printf '%s' "${missing[*]}"
}

is_debian() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

# Runs apt-get as root, with sudo when that is needed and there.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

apt_install() {
    as_root apt-get install -y --no-remove --no-install-recommends "$@" </dev/null
}

lists_are_there() {
    local list
    for list in /var/lib/apt/lists/*_Packages* /var/lib/apt/lists/*_InRelease; do
        [ -e "$list" ] && return 0
    done
    return 1
}

# Installs what it can: all at once, or, when that fails even with fresh lists, package by package, so that one that is not to be
# had does not keep the others out.
install_all_or_each() {
    local package
    lists_are_there || as_root apt-get update </dev/null
    apt_install "$@" && return
    as_root apt-get update </dev/null
    apt_install "$@" && return
    for package in "$@"; do
        apt_install "$package" || complain "cannot install $package"
    done
}

# ensure_packages INSTALL NEEDED ... -- USEFUL ...
# Makes sure of packages, having listed the missing ones first. INSTALL: yes or no. Without a needed one there is no going on.
ensure_packages() {
    local install=$1 needed=() missing packages
    shift
    while [ "$1" != -- ]; do
        needed+=("$1")
        shift
    done
    shift
    if ! is_debian; then
        [ "$install" = no ] && return 0
        complain "this is not a Debian system, so nothing is installed. What is needed, by its names in Debian 12:"
        say "    ${needed[*]}" >&2
        say "and what is useful: $*" >&2
        die "install what your system has for them, then call this again with --no-install"
    fi
    missing=$(missing_packages "${needed[@]}" "$@")
    [ -z "$missing" ] && return 0
    say "Missing packages: $missing"
    read -ra packages <<<"$missing"
    if [ "$install" = no ]; then
        complain "not installed, because of --no-install; by hand: apt-get install -y --no-remove --no-install-recommends $missing"
    elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        complain "neither root nor sudo, so they cannot be installed from here. As root:"
        say "    apt-get update && apt-get install -y --no-remove --no-install-recommends $missing" >&2
    else
        install_all_or_each "${packages[@]}"
    fi
    missing=$(missing_packages "${needed[@]}")
    [ -z "$missing" ] || die "cannot go on without: $missing"
    missing=$(missing_packages "$@")
    [ -z "$missing" ] || complain "goes on without: $missing"
}

# uring_refusal FOLDER
# Prints why io_uring is refused and what helps; nothing when it is not. FOLDER takes the compiled probe.
uring_refusal() {
    mkdir -p "$1"
    cc -D_GNU_SOURCE -Iinclude -o "$1/uring-probe" tools/uring-probe.c tests/support/uring.c || return
    "$1/uring-probe"
}
