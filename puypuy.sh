#!/bin/sh
### BEGIN INIT INFO
# Provides:          puypuy
# Required-Start:    $local_fs $remote_fs $network $time
# Required-Stop:     $local_fs $remote_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: PuyPuy metrics daemon
# Description:       Runs checks on a schedule and keeps what it saw, locally or in a time series database.
### END INIT INFO
#
# Finds the program and gives it the same words: ./puypuy.sh start|stop|restart|reload|status|run|check NAME|list|spool ls|...
# Works from any folder and through a symlink. The user that the daemon runs as is run_user in config.ini.

say() {
    echo "puypuy.sh: $*" >&2
}

# With it, cd goes elsewhere and says so.
unset CDPATH

# The file itself, behind all symlinks that lead to it.
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
        # sudo and init give a short PATH; rustup puts cargo into the home folder.
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
