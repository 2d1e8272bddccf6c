#!/bin/bash
# Waypost as a peer of the bench. WAYPOST_BIN names the binary (a release build).
# VARIANT=default|cut|full  default: stored before it is passed on, and taken without proof of its sender, as Postfix does by itself;
# cut: the same by cut-through; full: as setup leaves it, with keys, and with records in DNS.
# cut-nohistory, cut-nosandbox: cut without the history, and without the restriction of the process: what these cost
# signed: default, but an account's mail is signed with DKIM, by RSA and by Ed25519. The others sign nothing, as Postfix by itself does not.
set -e
. "$(dirname "$0")/full-dns.sh"
W=${WAYPOST_BIN:?WAYPOST_BIN names the waypost binary} C=$PEER_HOME/waypost.toml D=$PEER_HOME/data
w() { "$W" --config "$C" "$@"; }
case $VARIANT in
  full) DNS=$FULL_DNS FORWARD= ;;
  cut*) DNS=127.0.0.53 FORWARD='unauthenticated = "accept"' ;;
  *) DNS=127.0.0.53 FORWARD='mode = "queue"
unauthenticated = "accept"' ;;
esac
conf() {
  mkdir -p "$D"; chmod 700 "$D"
  cp "$CERT" "$PEER_HOME/cert.pem"; install -m 600 "$KEY" "$PEER_HOME/key.pem"
  cat >"$C" <<CONF
hostname = "mx.example.test"
data_dir = "$D"
postmaster = "me@example.test"
[listen]
mx = ["127.0.0.1:$IN_PORT"]
submission = ["127.0.0.1:$SUB_PORT"]
submissions = []
http = []
https = []
[tls]
certificate = "$PEER_HOME/cert.pem"
key = "$PEER_HOME/key.pem"
[limits]
sessions = 100000
sessions_per_client = 100000
[submission]
recipients_per_hour = 10000000
new_recipients_per_day = 10000000
[[route]]
domains = ["slow.test"]
host = "[$SLOW_IP]"
port = $SINK_PORT
tls = "opportunistic"
verify = false
[[route]]
host = "[$SINK_IP]"
port = $SINK_PORT
tls = "opportunistic"
verify = false
[dns]
servers = ["$DNS:53"]
[forward]
domain = "fwd.example.test"
$FORWARD
CONF
  case $VARIANT in
    *-nohistory) printf '[history]\nenabled = false\n' >>"$C" ;;
    *-nosandbox) printf '[sandbox]\nenabled = false\n' >>"$C" ;;
  esac
  if [ ! -f "$D/waypost.db" ]; then
    case $VARIANT in
      signed|full) w domain add example.test ;;
      *) w domain add example.test --bare || w domain add example.test ;;   # a build without --bare makes no keys
    esac
    w alias add me@example.test foo@sink.test
    w alias add slow@example.test foo@slow.test
    [ "$VARIANT" = full ] && w key add fwd.example.test
    printf '%s\n' "$AUTH_PASS" | w account add "$AUTH_USER" --sender '*' --password-stdin
  fi
}
case $1 in
  version) "$W" --version ;;
  start) [ "$VARIANT" != full ] || full_dns "$PEER_HOME/dns" >&2; conf >&2; setsid "$W" --config "$C" serve >"$PEER_HOME/log" 2>&1 </dev/null & ;;
  stop) kill $(cat "$PIDFILE") ;;
  reset) rm -rf "$D" "$PEER_HOME/log" ;;
  flush) w queue retry --all ;;
  list) w queue list --limit 50 ;;
esac
