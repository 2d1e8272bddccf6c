#!/bin/sh
# Gives each new certificate to Waypost:  certbot certonly --standalone -d mx.example.com --deploy-hook /path/to/this
# Waypost reads these files unless [tls] names others, and uses the new pair from the next connection.
set -eu
tls=/var/lib/waypost/tls
owner=$(stat -c %U "$tls")
install -o "$owner" -m 600 "$RENEWED_LINEAGE/privkey.pem" "$tls/key.pem"
install -o "$owner" -m 600 "$RENEWED_LINEAGE/fullchain.pem" "$tls/cert.pem"
