#!/usr/bin/env bash
# A room over WebSocket with wscat (npm install -g wscat). Without -x it is a prompt: type frames and
# see what comes. Copy a line, or run them all against "poly2mqtt demo":
# examples/shell/wscat.sh [address]
set -euo pipefail
ws=${1:-ws://127.0.0.1:8080/ws}
# It ends with its standard input, and a script may have none.
wscat() { sleep 3 | command wscat "$@"; }

# A command; -w 1 waits a second for the result.
wscat -c "$ws" -w 1 -x 'room/1/camera/preset/3/activate'
wscat -c "$ws?format=plain" -w 1 -x 'room/1/audio/volume/set 40'
wscat -c "$ws" -w 1 -x '{"id":7,"topic":"room/1/audio/muted/set","payload":"toggle"}'

# An error says what is allowed.
wscat -c "$ws?format=plain" -w 1 -x 'room/1/audio/volume/set loud'

# What is the volume now, and all about the sound for two seconds.
wscat -c "$ws?format=plain" -w 1 -x 'subscribe room/1/audio/volume'
wscat -c "$ws" -w 2 -x '{"id":8,"subscribe":["room/1/audio/#"]}'
