#!/usr/bin/env bash
# A room in plain lines over TCP, with nothing but netcat. Copy a line, or run them all against
# "poly2mqtt demo --tcp 127.0.0.1:8023": examples/shell/netcat.sh [address] [port]
# Where tokens are set, the first line is "token TOKEN".
set -euo pipefail
host=${1:-127.0.0.1} port=${2:-8023}

# A command and its result; -w 1 ends a second after the last answer.
echo room/1/camera/preset/3/activate | nc -w 1 "$host" "$port"

# Several, in this order.
nc -w 1 "$host" "$port" << 'LINES'
room/1/audio/volume/set 40
room/1/audio/muted/set toggle
room/1/audio/volume/set loud
LINES

# What is the sound like? All that matches at once, then every change: without -w for as long as you
# like.
echo 'subscribe room/1/audio/+' | nc -w 1 "$host" "$port"
