#!/usr/bin/env bash
# One-liners for the shell. Start "cargo run --release -- demo" in another terminal first; then
# copy a line, or run them all: examples/shell.sh [broker] [port]
set -euo pipefail
host=${1:-127.0.0.1}
port=${2:-1883}
pub() { mosquitto_pub -h "$host" -p "$port" "$@"; }

# Recall preset 3, as a wall button would.
pub -t room/1/camera/preset/3/activate -n

# Set the volume; one step louder; mute and the other way round.
pub -t room/1/audio/volume/set -m 40
pub -t room/1/audio/volume/up -n
pub -t room/1/audio/muted/set -m toggle

# Move the camera left for half a second. It stops by itself.
pub -t room/1/camera/move -m '{"direction":"left","duration_ms":500}'

# Dial, and hang every call up.
pub -t room/1/call/dial -m alice@example.com
pub -t room/1/call/hangup -n

# What is the volume now? Retained, so the answer is there at once.
mosquitto_sub -h "$host" -p "$port" -t room/1/audio/volume -C 1 -W 5

# Ask, and wait for the one answer (MQTT 5 request and response).
mosquitto_rr -h "$host" -p "$port" -V 5 -t room/1/calendar/meetings/get -e "reply/$$" -n -W 5

# A picture of what the camera sees.
pub -t room/1/camera/snapshot/near/get -n
mosquitto_sub -h "$host" -p "$port" -t room/1/camera/snapshot/near -C 1 -W 5 -N > snapshot.jpg
