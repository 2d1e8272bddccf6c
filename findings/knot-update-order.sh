#!/usr/bin/env bash
# One DNS update that adds a CNAME and then deletes the A record of the name leaves the name empty, and the answer is NOERROR.
#
# Guess: an update is one transaction: its order does not matter, and if a change cannot be made, the whole update fails.
# What happens: Knot DNS 3.2.6 goes by the order, as RFC 2136 s.3.4.2.2 says: a CNAME beside other records, and other records beside a CNAME, are ignored
# without an error. So "add CNAME, delete A" first ignores the CNAME and then deletes the address. "delete A, add CNAME" works. A second CNAME replaces
# the first.
# Where it matters: a program that adds before it deletes, so that there is always an answer, removes the name, and the server says NOERROR.
# Waypost: deletes what is in the way before it adds, and checks the result at the zone's servers.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box knot=3.2.6-1 knot-dnsutils=3.2.6-1 libknot13=3.2.6-1

mkdir knot
cat >knot/conf <<'END'
server:
  listen: 127.0.0.1@53
  rundir: /tmp/knot
database:
  storage: /tmp/knot
acl:
- id: here
  action: update
  address: 127.0.0.1
zone:
- domain: test
  file: /tmp/knot/zone
  acl: here
END
cat >knot/zone <<'END'
$TTL 60
test. SOA ns hostmaster 1 60 60 60 60
 NS ns
ns A 127.0.0.1
one A 192.0.2.1
two A 192.0.2.1
three A 192.0.2.1
four CNAME ns
five CNAME ns
END
knotd -c knot/conf >knot/log 2>&1 &
wait_for listens 53
update() { # NAME LINE...
    printf 'server 127.0.0.1\nzone test.\n' >changes
    printf '%s\n' "${@:2}" send >>changes
    knsupdate changes >said 2>&1 || true
    printf '%s: ' "$(grep -oE 'update failed.*|error.*' said || echo NOERROR)"
    kdig @127.0.0.1 +short "$1.test." ANY | grep . || echo nothing
}
echo
must "A there; add CNAME, delete A:" "$(update one 'add one.test. 60 CNAME ns.test.' 'del one.test. A')" "NOERROR: nothing"
must "A there; delete A, add CNAME:" "$(update two 'del two.test. A' 'add two.test. 60 CNAME ns.test.')" "NOERROR: ns.test."
must "A there; add CNAME:" "$(update three 'add three.test. 60 CNAME ns.test.')" "NOERROR: 192.0.2.1"
must "CNAME there; add A:" "$(update four 'add four.test. 60 A 192.0.2.1')" "NOERROR: ns.test."
must "CNAME there; add another CNAME:" "$(update five 'add five.test. 60 CNAME two.test.')" "NOERROR: two.test."
