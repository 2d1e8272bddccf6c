#!/usr/bin/env bash
# Postfix ignores a TLSA record that matches the server's key if a record for another key has a longer digest; Exim accepts it.
#
# Guess: a mail host that changes its key publishes records for the old and the new key; one of the two matches the key in use, and that is enough for
# DANE.
# What happens: of the records with the same usage and selector, Postfix 3.7.11 (by OpenSSL) uses only those with the longest digest. With
# `3 1 1 OLD` and `3 1 2 NEW` a host that still uses the old key is refused, "no matching DANE TLSA records"; Exim 4.96 (by GnuTLS) delivers,
# "CV=dane". With another selector as well, or with the old key in full (matching type 0), Postfix delivers too.
# Where it matters: changing the key and the digest in one step stops the mail of some senders, and a test with another sender does not show it.
# Waypost: as a receiver it publishes `3 1 1` for both keys; as a sender it uses only the strongest digest, as Postfix does and RFC 7671 s.9 says.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box postfix=3.7.11-0+deb12u1 exim4-daemon-light=4.96-15+deb12u11 exim4-base=4.96-15+deb12u11 libgnutls-dane0 libunbound8 \
    knot=3.2.6-1 knot-dnsutils=3.2.6-1 unbound=1.17.1-2+deb12u4

for key in old new; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $key.key -out $key.pem -subj /CN=mx.test -days 2 2>/dev/null
    openssl x509 -in $key.pem -noout -pubkey | openssl pkey -pubin -outform der >$key.spki
    openssl x509 -in $key.pem -outform der >$key.der
done
digest() { "$1sum" "$2" | cut -d' ' -f1; }
knot_starts 5300 $'  dnssec-signing: on\n  dnssec-policy: one\n  zonefile-sync: -1\n  zonefile-load: whole' <<END
same A 127.0.0.1
_25._tcp.same TLSA 3 1 1 $(digest sha256 old.spki)
_25._tcp.same TLSA 3 1 1 $(digest sha256 new.spki)
longer A 127.0.0.1
_25._tcp.longer TLSA 3 1 1 $(digest sha256 old.spki)
_25._tcp.longer TLSA 3 1 2 $(digest sha512 new.spki)
selector A 127.0.0.1
_25._tcp.selector TLSA 3 1 1 $(digest sha256 old.spki)
_25._tcp.selector TLSA 3 0 2 $(digest sha512 new.der)
full A 127.0.0.1
_25._tcp.full TLSA 3 1 0 $(od -An -v -tx1 old.spki | tr -d ' \n')
_25._tcp.full TLSA 3 1 2 $(digest sha512 new.spki)
END
key_of_zone() { kdig @127.0.0.1 -p 5300 test DNSKEY +short | sed 's/^/test. DNSKEY /' >anchor && [ -s anchor ]; }
wait_for key_of_zone
cat >unbound.conf <<'END'
server:
  interface: 127.0.0.1
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  trust-anchor-file: /tmp/anchor
stub-zone:
  name: test
  stub-addr: 127.0.0.1@5300
END
unbound -d -c unbound.conf >unbound.log 2>&1 &
wait_for listens 53
printf 'nameserver 127.0.0.1\noptions trust-ad edns0\n' >/etc/resolv.conf

# The receiver, which shows the old key.
postfix_starts <<'END'
mydestination = same.test, longer.test, selector.test, full.test
local_transport = discard:
local_recipient_maps =
smtpd_tls_chain_files = /tmp/old.key, /tmp/old.pem
smtpd_tls_security_level = may
END

exim_configured <<'END'
dns_dnssec_ok = 1
begin routers
out:
  driver = dnslookup
  dnssec_request_domains = *
  self = send
  transport = out
begin transports
out:
  driver = smtp
  hosts_require_dane = *
END

by_postfix() {
    timeout 20 posttls-finger -c -l dane-only -L summary,verbose "[$1.test]" >finger 2>&1 || true
    grep -oE 'no matching DANE TLSA records|(Verified|Untrusted) TLS connection established' finger | head -1
}
by_exim() {
    printf 'From: me@here.test\n\nhi\n' | exim4 -odi -f me@here.test "you@$1.test"
    grep -oE "(=>|\*\*|==) you@$1.test|CV=[a-z]*" exim/mainlog | tr '\n' ' '
}
echo
must "Postfix, 3 1 1 OLD and 3 1 1 NEW:" "$(by_postfix same)" "Verified TLS connection established"
must "Postfix, 3 1 1 OLD and 3 0 2 NEW:" "$(by_postfix selector)" "Verified TLS connection established"
must "Postfix, 3 1 0 OLD and 3 1 2 NEW:" "$(by_postfix full)" "Verified TLS connection established"
must "Postfix, 3 1 1 OLD and 3 1 2 NEW:" "$(by_postfix longer)" "no matching DANE TLSA records"
must "Exim,    3 1 1 OLD and 3 1 2 NEW:" "$(by_exim longer)" "=> you@longer.test CV=dane "
