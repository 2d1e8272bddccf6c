#!/bin/bash
# Waypost as a peer of the bench. WAYPOST_BIN names the binary (a release build).
# VARIANT=default|cut|full  default: stored before it is passed on, and taken without proof of its sender, as Postfix does by itself;
# cut: the same by cut-through; full: as setup leaves it, with keys, and with records in DNS.
# cut-nohistory, cut-nosandbox: cut without the history, and without the restriction of the process: what these cost
# pg: default over a PostgreSQL of its own, whose processor time counts too; pg-cut: by cut-through; pg4: four servers over one PostgreSQL.
# signed: default, but an account's mail is signed with DKIM, by RSA and by Ed25519. The others sign nothing, as Postfix by itself does not.
set -e
# As the unit that `waypost setup` writes.
export MIMALLOC_PURGE_DELAY=10
. "$(dirname "$0")/full-dns.sh"
W=${WAYPOST_BIN:?WAYPOST_BIN names the waypost binary} C=$PEER_HOME/waypost.toml D=$PEER_HOME/data
w() { "$W" --config "$C" "$@"; }
# The files of server N of a cluster.
server() { C=$PEER_HOME/waypost-$1.toml D=$PEER_HOME/data-$1; }
PG=$PEER_HOME/postgres PG_PORT=6543
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
pg_tool() { echo /usr/lib/postgresql/*/bin/"$1"; }
start_postgres() {
  if [ ! -f "$PG/PG_VERSION" ]; then
    install -d -m 700 -o postgres "$PG"
    (cd / && as_postgres "$(pg_tool initdb)" --auth=trust --encoding=UTF8 --locale=C --no-instructions -D "$PG")
  fi
  chmod 755 "$PEER_HOME"
  (cd / && as_postgres setsid "$(pg_tool postgres)" -D "$PG" -p $PG_PORT -k "" -c listen_addresses=127.0.0.1 >"$PEER_HOME/postgres.log" 2>&1 </dev/null &)
  until sql postgres "SELECT 1" 2>/dev/null; do sleep 0.1; done
  [ "$(sql postgres "SELECT count(*) FROM pg_database WHERE datname = 'waypost'")" = 1 ] || sql postgres "CREATE DATABASE waypost"
}
sql() { "$(pg_tool psql)" -h 127.0.0.1 -p $PG_PORT -U postgres -d "$1" -XAtqc "$2"; }
case $VARIANT in pg[1-9]) NODES=${VARIANT#pg} ;; *) NODES=1 ;; esac
case $VARIANT in
  full) DNS=$FULL_DNS FORWARD= ;;
  cut*|pg-cut) DNS=127.0.0.53 FORWARD='unauthenticated = "accept"' ;;
  *) DNS=127.0.0.53 FORWARD='mode = "queue"
unauthenticated = "accept"' ;;
esac
# conf [N]: the settings and the data of server N, which listens N ports further on
conf() {
  local n=${1:-0}
  mkdir -p "$D"; chmod 700 "$D"
  cp "$CERT" "$PEER_HOME/cert.pem"; install -m 600 "$KEY" "$PEER_HOME/key.pem"
  cat >"$C" <<CONF
hostname = "mx.example.test"
data_dir = "$D"
postmaster = "me@example.test"
[listen]
mx = ["127.0.0.1:$((IN_PORT + n))"]
submission = ["127.0.0.1:$((SUB_PORT + n))"]
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
    pg*) printf '[store]\nurl = "postgres://postgres@127.0.0.1:%s/waypost"\nnode = "bench%s"\n' $PG_PORT "$n" >>"$C" ;;
    *-nosandbox) printf '[sandbox]\nenabled = false\n' >>"$C" ;;
  esac
  if [ ! -f "$D/is-set-up" ] && [ "$n" = 0 ]; then
    case $VARIANT in
      signed|full) w domain add example.test ;;
      *) w domain add example.test --bare || w domain add example.test ;;   # a build without --bare makes no keys
    esac
    w alias add me@example.test foo@sink.test
    w alias add slow@example.test foo@slow.test
    [ "$VARIANT" = full ] && w key add fwd.example.test
    printf '%s\n' "$AUTH_PASS" | w account add "$AUTH_USER" --sender '*' --password-stdin
    touch "$D/is-set-up"
  fi
}
case $1 in
  version) "$W" --version ;;
  start)
    [ "$VARIANT" != full ] || full_dns "$PEER_HOME/dns" >&2
    case $VARIANT in pg*) start_postgres >&2 ;; esac
    for ((n = 0; n < NODES; n++)); do
      [ "$n" = 0 ] || server "$n"
      conf "$n" >&2
      setsid "$W" --config "$C" serve >"$PEER_HOME/log$n" 2>&1 </dev/null &
    done ;;
  stop) kill $(cat "$PIDFILE") ;;
  reset) rm -rf "$D" "$PEER_HOME"/data-* "$PG" "$PEER_HOME"/log* ;;
  flush) w queue retry --all ;;
  list) w queue list --limit 50 ;;
esac
