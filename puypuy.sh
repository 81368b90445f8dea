#!/bin/sh
### BEGIN INIT INFO
# Provides:          puypuy
# Required-Start:    $local_fs $remote_fs $network $time
# Required-Stop:     $local_fs $remote_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: PuyPuy metrics daemon
# Description:       Runs checks on a schedule and stores their metrics locally or in a time series database.
### END INIT INFO
#
# Finds (or builds) the program and runs it with the same arguments: ./puypuy.sh start|stop|restart|reload|status|run|...
# `./puypuy.sh help` lists all commands. Works from any folder and through a symlink. run_user in config.ini sets the daemon's user.

say() {
    echo "puypuy.sh: $*" >&2
}

# With CDPATH set, cd may change to another folder and prints its path.
unset CDPATH

# Resolves the symlinks that lead to this file.
script=$0
while [ -L "$script" ]; do
    target=$(readlink "$script") || exit 1
    case $target in
        /*) script=$target ;;
        *) script=$(dirname -- "$script")/$target ;;
    esac
done
home=$(cd -- "$(dirname -- "$script")" && pwd -P) || exit 1

if [ -n "$PUYPUY_BIN" ]; then
    program=$PUYPUY_BIN
elif [ -x "$home/puypuy" ] && [ ! -d "$home/puypuy" ]; then
    program=$home/puypuy
else
    program=$home/target/release/puypuy
    if [ ! -x "$program" ]; then
        for word; do
            case $word in
                status | stop | reload | --version | -V)
                    say "there is no program yet at $program, and $word builds none; $0 start does"
                    exit 1
                    ;;
            esac
        done
        # The PATH of sudo and init is short; rustup installs cargo in the home folder.
        [ -n "$HOME" ] && PATH=$PATH:$HOME/.cargo/bin
        if ! command -v cargo >/dev/null 2>&1; then
            say "there is no program yet, and no cargo to build it: install Rust from https://rustup.rs and try again," \
                "or put a ready program at $home/puypuy"
            exit 1
        fi
        say "building the program, once; this takes some minutes"
        (cd "$home" && cargo build --release --locked) || {
            say "the build failed, see above"
            exit 1
        }
    fi
fi

if [ ! -x "$program" ] || [ -d "$program" ]; then
    say "$program: not a program"
    exit 1
fi
exec "$program" --home "$home" "$@"
