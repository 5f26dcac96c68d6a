#!/usr/bin/env bash
# A room over WebSocket with websocat (cargo install websocat). Copy a line, or run them all against
# "poly2mqtt demo": examples/shell/websocat.sh [address]
set -euo pipefail
ws=${1:-ws://127.0.0.1:8080/ws}

# One command and its result: -n leaves the connection open when there is no more input, -1 ends it
# after one answer.
websocat -n1 "$ws" <<< 'room/1/camera/preset/3/activate'
websocat -n1 "$ws?format=plain" <<< 'room/1/audio/volume/set 40'
websocat -n1 "$ws" <<< '{"id":7,"topic":"room/1/audio/muted/set","payload":"toggle"}'

# An error says what is allowed.
websocat -n1 "$ws?format=plain" <<< 'room/1/audio/volume/set loud'

# What is the volume now? And whatever happens in the room, for a second.
websocat -n1U "$ws?format=plain&subscribe=room/1/audio/volume" < /dev/null
timeout 1 websocat -nU "$ws?subscribe=room/1/%23" < /dev/null || [ $? = 124 ]
