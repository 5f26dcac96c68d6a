#!/usr/bin/env bash
# A room with Mosquitto's clients (apt install mosquitto-clients). Copy a line, or run them all
# against "poly2mqtt demo": examples/shell/mosquitto.sh [broker] [port]
set -euo pipefail
host=${1:-127.0.0.1} port=${2:-1883}
mosquitto_pub() { command mosquitto_pub -h "$host" -p "$port" "$@"; }
mosquitto_sub() { command mosquitto_sub -h "$host" -p "$port" "$@"; }
mosquitto_rr() { command mosquitto_rr -h "$host" -p "$port" "$@"; }

# Recall preset 3, as a wall button would.
mosquitto_pub -t room/1/camera/preset/3/activate -n

# Set the volume; one step louder; toggle mute.
mosquitto_pub -t room/1/audio/volume/set -m 40
mosquitto_pub -t room/1/audio/volume/up -n
mosquitto_pub -t room/1/audio/muted/set -m toggle

# Move the camera left for half a second. It stops by itself.
mosquitto_pub -t room/1/camera/move -m '{"direction":"left","duration_ms":500}'

# Dial, and hang every call up.
mosquitto_pub -t room/1/call/dial -m alice@example.com
mosquitto_pub -t room/1/call/hangup -n

# The same with an answer: "ok" and the status, or an error that says what is allowed.
mosquitto_rr -V 5 -W 5 -e "response/$$" -t room/1/audio/volume/set -m 55
mosquitto_rr -V 5 -W 5 -e "response/$$" -t room/1/audio/volume/set -m loud

# mosquitto_rr succeeds with every answer. In a script that is to fail if the command fails, look at the answer.
asked() { mosquitto_rr -V 5 -W 5 -e "response/$$" "$@" | tee /dev/stderr | grep -q '^{"ok":true'; }
asked -t room/1/audio/volume/set -m 55
asked -t room/1/audio/volume/set -m loud || echo 'the volume was not set' >&2

# What is the volume now? Retained, so the answer is there at once.
mosquitto_sub -C 1 -W 5 -t room/1/audio/volume

# Is the microphone muted? Whenever that changes, a line; here, the first only.
mosquitto_sub -C 1 -W 5 -v -t room/1/audio/muted

# Ask for what is not retained.
mosquitto_rr -V 5 -W 5 -e "response/$$" -t room/1/calendar/meetings/get -m '{"number":1}'

# A picture of what the camera sees: ask for one, then read it where it is retained.
mosquitto_rr -V 5 -W 5 -e "response/$$" -t room/1/camera/snapshot/near/get -n
mosquitto_sub -C 1 -W 5 -N -t room/1/camera/snapshot/near > room-1.jpg
