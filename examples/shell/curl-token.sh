#!/usr/bin/env bash
# The three ways to show a token ([[http.token]] in the configuration):
# examples/shell/curl-token.sh ADDRESS TOKEN
set -euo pipefail
gateway=$1 token=$2
curl() { command curl -sS --fail-with-body --write-out '\n' "$@"; }

# As a header, which is the best of them.
curl -H "Authorization: Bearer $token" "$gateway/room/1/audio/volume"

# As the password of any user, for what knows only names and passwords.
curl --user "anyone:$token" -d 40 "$gateway/room/1/audio/volume/set"

# In the address, for what can set no headers.
curl "$gateway/room/1/availability?token=$token"
