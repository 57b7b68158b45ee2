#!/bin/sh
# guard.sh SIGNAL DIR COMMAND [ARG…]
# Runs COMMAND until it ends or until this script's standard input closes, then removes DIR ('' = none).
# The starter holds the other end of that input, so even a starter killed outright leaves no process and no folder.
signal=$1
dir=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
command=$!
# Again and again: COMMAND may be at a point where the signal is lost, such as just before it becomes another program.
( cat <&3 >/dev/null; while kill -s "$signal" "$command" 2>/dev/null; do sleep 0.1; done ) &
watcher=$!
exec 3<&-
wait "$command" 2>/dev/null
status=$?
kill "$watcher" 2>/dev/null
[ -z "$dir" ] || rm -rf "$dir"
exit "$status"
