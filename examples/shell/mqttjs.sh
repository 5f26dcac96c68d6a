#!/usr/bin/env bash
# A room with the command line of MQTT.js (npm install -g mqtt). Copy a line, or run them all
# against "poly2mqtt demo": examples/shell/mqttjs.sh [broker] [port]
set -euo pipefail
host=${1:-127.0.0.1} port=${2:-1883}
mqtt() { command mqtt "$1" -h "$host" -p "$port" "${@:2}"; }

# Recall preset 3; set the volume; toggle mute.
mqtt pub -t room/1/camera/preset/3/activate -m ''
mqtt pub -t room/1/audio/volume/set -m 40
mqtt pub -t room/1/audio/muted/set -m toggle

# Watch the sound for three seconds, while something happens.
timeout 3 mqtt sub -h "$host" -p "$port" -v -t 'room/1/audio/#' &
sleep 1
mqtt pub -t room/1/audio/volume/set -m loud
mqtt pub -t room/1/audio/volume/set -m 55
wait
