#!/bin/sh
# guard.sh SIGNAL DIR COMMAND [ARG…]
# Runs COMMAND until it ends or until this script's standard input closes, then removes DIR ('' = none).
# The starter holds the other end of that input, so even a starter killed outright leaves no process and no folder.
# It has to lead a process group: SIGNAL goes to the whole group, so that it reaches what COMMAND waits for.
signal=$1
dir=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
command=$!
trap '' INT TERM
[ "$signal" = KILL ] && target=$command || target=0
# Again and again: COMMAND may be at a point where the signal is lost, such as just before it becomes another program.
( cat <&3 >/dev/null; while kill -0 "$command" 2>/dev/null && kill -s "$signal" "$target"; do sleep 0.1; done ) &
watcher=$!
exec 3<&-
wait "$command" 2>/dev/null
status=$?
kill -KILL "$watcher" 2>/dev/null
tries=50 # what COMMAND has started may still be writing there
[ -z "$dir" ] || until rm -rf "$dir" 2>/dev/null || [ $((tries -= 1)) -eq 0 ]; do sleep 0.1; done
exit "$status"
