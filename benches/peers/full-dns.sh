#!/bin/bash
# Sourced: a name server (Knot DNS) for the bench with SPF, DMARC and DKIM records, which the bench's own name server does not have. It runs in the
# cgroup of the peer that starts it, so each of them pays for its own questions.
FULL_DNS=127.0.0.54
full_dns() {   # full_dns DIRECTORY [DKIM-RECORD-LINES]
  mkdir -p "$1"
  cat >"$1/test.zone" <<ZONE
\$ORIGIN test.
\$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
ns A $FULL_DNS
example MX 10 mx.example
mx.example A 127.0.0.1
fwd.example MX 10 mx.example
fwd.example TXT "v=spf1 ip4:127.0.0.0/8 -all"
sink MX 10 mx.sink
mx.sink A $SINK_IP
slow MX 10 mx.slow
mx.slow A $SLOW_IP
origin MX 10 mx.origin
mx.origin A 127.0.0.9
origin TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.origin TXT "v=DMARC1; p=none"
bench.origin A 127.0.0.9
bench.origin TXT "v=spf1 ip4:127.0.0.0/8 -all"
$2
ZONE
  cat >"$1/knot.conf" <<CONF
server:
  rundir: "$1"
  listen: $FULL_DNS@53
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: "$1"
zone:
  - domain: test
    storage: "$1"
    file: test.zone
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
CONF
  knotd -c "$1/knot.conf" >"$1/knot.log" 2>&1 </dev/null &
}
