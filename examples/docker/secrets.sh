#!/bin/sh
# Makes the secrets of docker-compose.yml, and .env beside it. What is there already stays as it is.
#
# A secret is a file that its owner and its group may read. The containers are in that group; .env has its number.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
secrets=$top/secrets
umask 027
mkdir -p "$secrets"

secret() {
  [ -e "$secrets/$1" ] || printf '%s\n' "$2" >"$secrets/$1"
}

random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# The simulated device's. Put your devices' password here.
secret device_password 456
for name in mqtt_password mqtt_client_password http_token metrics_token grafana_password cluster_token; do
  secret "$name" "$(random)"
done

if [ ! -e "$top/.env" ]; then
  cat >"$top/.env" <<END
# Which profiles of docker-compose.yml are on: mosquitto, simulator, monitoring, home-assistant, node-red, cluster.
COMPOSE_PROFILES=mosquitto,simulator
# The group that may read secrets.
POLY2MQTT_GID=$(id -g)
END
fi
echo "secrets: $secrets"
echo "the token for http://127.0.0.1:8080/: $secrets/http_token"
