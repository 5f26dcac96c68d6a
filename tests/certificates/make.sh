#!/usr/bin/env bash
# Makes the certificates of this folder again. Tests use the files, so they need no openssl.
#
# They are what the libraries of the tests cannot make: version 1, RSA keys that are too short, SHA-1, curves
# that the gateway does not know. All others are made by the tests themselves.
set -euo pipefail
cd "$(dirname "$0")"
days=36500
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A key at $1, of the kind that the other words say.
key() { openssl genpkey -out "$1" "${@:2}" 2>/dev/null; }
p256=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)

# Version 1, as Mosquitto's manual makes it with older OpenSSL: signed by an authority, a common name only.
key "$scratch/ca.key" "${p256[@]}"
openssl req -new -x509 -days $days -key "$scratch/ca.key" -out ca.pem -subj '/O=Example/CN=Example CA'
key v1.key "${p256[@]}"
openssl req -new -key v1.key -subj '/CN=localhost' |
  openssl x509 -req -CA ca.pem -CAkey "$scratch/ca.key" -set_serial 2 -days $days -out v1.pem 2>/dev/null

# Keys that are too short, or of another kind.
self_signed() { openssl req -new -x509 -days $days -key "$1" -out "$2" -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "${@:3}"; }
for bits in 512 1024; do
  key "$scratch/key" -algorithm RSA -pkeyopt rsa_keygen_bits:$bits
  self_signed "$scratch/key" rsa$bits.pem -sha256
done
key "$scratch/key" -algorithm EC -pkeyopt ec_paramgen_curve:P-521
self_signed "$scratch/key" p521.pem

# An authority with a short key, and a good certificate that it signed.
key "$scratch/key" -algorithm RSA -pkeyopt rsa_keygen_bits:1024
openssl req -new -x509 -days $days -key "$scratch/key" -out short_ca.pem -subj '/CN=Short CA' -sha256
names=$'subjectAltName=DNS:localhost,IP:127.0.0.1'
openssl req -new -key v1.key -subj '/CN=localhost' |
  openssl x509 -req -CA short_ca.pem -CAkey "$scratch/key" -set_serial 3 -days $days -extfile <(echo "$names") \
    -out by_short_ca.pem -sha256 2>/dev/null

# A good key and name, signed with SHA-1.
openssl req -new -key v1.key -subj '/CN=localhost' |
  openssl x509 -req -CA ca.pem -CAkey "$scratch/ca.key" -set_serial 4 -days $days -extfile <(echo "$names") \
    -out sha1.pem -sha1 2>/dev/null
