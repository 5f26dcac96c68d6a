#!/usr/bin/env bash
# A room over HTTP with curl. Copy a line, or run them all against "poly2mqtt demo":
# examples/shell/curl.sh [address]
set -euo pipefail
gateway=${1:-http://127.0.0.1:8080}
# As curl, but a failed command fails here too and shows why, and every answer ends its line.
curl() { command curl -sS --fail-with-body --write-out '\n' "$@"; }

# Commands: the topic is the path, the payload is the body.
curl -X POST "$gateway/room/1/camera/preset/3/activate"
curl -d 40 "$gateway/room/1/audio/volume/set"
curl -d toggle "$gateway/room/1/audio/muted/set"
curl -d '{"direction":"left","duration_ms":500}' "$gateway/room/1/camera/move"

# An error has a status that fits, 400 here, and says what is allowed.
curl -d loud "$gateway/room/1/audio/volume/set" || true

# A state; all states of a room; one read from the device now; a query.
curl "$gateway/room/1/audio/volume"
curl "$gateway/room/1"
curl "$gateway/room/1/audio/volume/get"
curl "$gateway/room/1/calendar/meetings/get?number=1"

# Files stream, whatever their size: a picture of what the camera sees, the logs, the directory.
curl -o room-1.jpg "$gateway/room/1/camera/snapshot/near/get"
curl -o room-1-logs "$gateway/room/1/system/logs/get"
curl -o room-1-directory "$gateway/room/1/directory/export"

# And the other way round. This changes the device for good, so the room has to allow it.
curl --data-binary @room-1-directory "$gateway/room/1/directory/import"

# Does it run? Can it do its work? What did it do?
curl "$gateway/healthz"
curl "$gateway/readyz"
curl "$gateway/metrics"
