#!/usr/bin/env bash
# One-liners for the shell. Start "cargo run --release -- demo" in another terminal first; then
# copy a line, or run them all: examples/shell.sh [broker] [port] [folder for the picture]
set -euo pipefail
host=${1:-127.0.0.1}
port=${2:-1883}
picture=${3:-${TMPDIR:-/tmp}}/room-1.jpg
pub() { mosquitto_pub -h "$host" -p "$port" "$@"; }
sub() { mosquitto_sub -h "$host" -p "$port" -C 1 -W 5 "$@"; }
# Sends a command and prints its one result (MQTT 5 request and response).
ask() { mosquitto_rr -h "$host" -p "$port" -V 5 -W 5 -e "reply/$$" "$@"; }

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

# The same with an answer: "ok" and the status, or an error that says what is allowed.
ask -t room/1/audio/volume/set -m 55
ask -t room/1/audio/volume/set -m loud

# What is the volume now? Retained, so the answer is there at once.
sub -t room/1/audio/volume

# Ask for what is not retained.
ask -t room/1/calendar/meetings/get -m '{"number":1}'

# A picture of what the camera sees.
pub -t room/1/camera/snapshot/near/get -n
sub -t room/1/camera/snapshot/near -N > "$picture"
echo "the picture is in $picture"
