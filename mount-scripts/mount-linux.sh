#!/bin/sh
# Mounts a sample archive on Linux, after checking what the mount needs.
#
#     mount-linux.sh [--open] [--store DIR] [--config FILE] [ARCHIVE [MOUNTPOINT]]
#     mount-linux.sh --unmount [MOUNTPOINT]
#
# Without places: ~/Samples is mounted on ~/RegeneratedArchive. --open shows the view in the file manager.

set -u

program=mount-linux.sh

fail() {
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

usage() {
    printf 'usage: %s [--open] [--store DIR] [--config FILE] [ARCHIVE [MOUNTPOINT]]\n' "$program"
    printf '       %s --unmount [MOUNTPOINT]\n' "$program"
    printf 'Without places: ~/Samples is mounted on ~/RegeneratedArchive.\n'
}

show=
unmount=
store=
config=
archive=
mountpoint=
places=0
while [ $# -gt 0 ]; do
    case $1 in
    --open) show=1 ;;
    --unmount) unmount=1 ;;
    --store | --config)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in --store) store=$2 ;; --config) config=$2 ;; esac
        shift
        ;;
    --store=*) store=${1#--store=} ;;
    --config=*) config=${1#--config=} ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        usage >&2
        exit 2
        ;;
    *)
        places=$((places + 1))
        case $places in
        1) archive=$1 ;;
        2) mountpoint=$1 ;;
        *)
            usage >&2
            exit 2
            ;;
        esac
        ;;
    esac
    shift
done

if [ -n "$unmount" ]; then
    if [ "$places" -gt 1 ]; then
        usage >&2
        exit 2
    fi
    mountpoint=${archive:-$HOME/RegeneratedArchive}
    if command -v fusermount3 >/dev/null 2>&1; then
        fusermount3 -u -- "$mountpoint" || fail "something is open in $mountpoint, or it is not mounted"
    else
        umount -- "$mountpoint" || fail "something is open in $mountpoint, or it is not mounted"
    fi
    exit 0
fi
archive=${archive:-$HOME/Samples}
mountpoint=${mountpoint:-$HOME/RegeneratedArchive}

# The program: installed, or built in the tree this script lies in.
here=$(cd "$(dirname "$0")" && pwd)
if command -v drumfs >/dev/null 2>&1; then
    drumfs=drumfs
elif [ -x "$HOME/.cargo/bin/drumfs" ]; then
    drumfs=$HOME/.cargo/bin/drumfs
elif [ -x "$here/../target/release/drumfs" ]; then
    drumfs=$here/../target/release/drumfs
else
    fail "the program drumfs was not found; build and install it with: cargo install --path $(dirname "$here")"
fi

[ -d "$archive" ] || fail "there is no directory $archive: name your archive, as in: $program ~/Music/Samples"
[ -e /dev/fuse ] || fail "there is no /dev/fuse: load the kernel's module with: sudo modprobe fuse"
if [ "$(id -u)" -ne 0 ]; then
    if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        fail "you may not use /dev/fuse: sudo chmod 666 /dev/fuse, or join the group that owns it"
    fi
    command -v fusermount3 >/dev/null 2>&1 ||
        fail "fusermount3 was not found; install it with: sudo apt install fuse3 (or: dnf install fuse3, pacman -S fuse3)"
fi

if mountpoint -q -- "$mountpoint" 2>/dev/null; then
    fail "$mountpoint is already mounted; take it down with: $program --unmount '$mountpoint'"
fi
if ! mkdir -p -- "$mountpoint" 2>/dev/null; then
    # Over a mount whose program has died nothing can be made; drumfs clears it.
    case $(LC_ALL=C ls -d -- "$mountpoint" 2>&1) in
    *"Transport endpoint is not connected"*) ;;
    *) fail "could not make the directory $mountpoint" ;;
    esac
fi

case $archive in -*) archive=./$archive ;; esac
case $mountpoint in -*) mountpoint=./$mountpoint ;; esac
set -- mount "$archive" "$mountpoint" --background
[ -z "$store" ] || set -- "$@" --store "$store"
[ -z "$config" ] || set -- "$@" --config "$config"
"$drumfs" "$@"
code=$?
case $code in
0 | 3) ;;
*) exit "$code" ;;
esac

printf '%s is mounted on %s\n' "$archive" "$mountpoint"
printf 'rules: %s\n' "$mountpoint/_control/rules.yml"
printf "take it down with: %s --unmount '%s'\n" "$0" "$mountpoint"
if [ -n "$show" ]; then
    if command -v xdg-open >/dev/null 2>&1; then
        xdg-open "$mountpoint" >/dev/null 2>&1 &
    else
        printf '%s: xdg-open was not found: open %s yourself\n' "$program" "$mountpoint" >&2
    fi
fi
exit 0
