#!/bin/sh
# Gives Waypost each new certificate:  certbot certonly --standalone -d mx.example.com --deploy-hook /path/to/this
# The files are those that Waypost reads unless [tls] names others; it uses the new pair at the next connection.
set -eu
tls=/var/lib/waypost/tls
owner=$(stat -c %U "$tls")
install -o "$owner" -m 600 "$RENEWED_LINEAGE/privkey.pem" "$tls/key.pem"
install -o "$owner" -m 600 "$RENEWED_LINEAGE/fullchain.pem" "$tls/cert.pem"
