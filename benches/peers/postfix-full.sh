#!/bin/bash
# Postfix with what a forwarder needs beside it: OpenDKIM (verifies, and signs what leaves), postsrsd, an SPF policy daemon. The Postfix is
# that of postfix.sh, its configuration extended; the others are Debian's packages as the system has them.
set -e
. "$(dirname "$0")/full-dns.sh"
BASE=$(dirname "$0")/postfix.sh C=$PEER_HOME/etc F=$PEER_HOME/full
full() {
  mkdir -p "$F/keys" "$F/run"; chmod 755 "$PEER_HOME" "$F" "$F/run"
  [ -f "$F/keys/r1.private" ] || openssl genrsa -out "$F/keys/r1.private" 2048 2>/dev/null
  chmod 600 "$F/keys/r1.private"
  full_dns "$F/dns"
  printf 'nameserver %s\n' "$FULL_DNS" >"$F/resolv.conf"; mount --bind "$F/resolv.conf" /etc/resolv.conf
  cat >"$F/verify.conf" <<CONF
Mode v
Socket inet:8891@127.0.0.1
AuthservID mx.example.test
AlwaysAddARHeader yes
Syslog no
UserID root
CONF
  cat >"$F/sign.conf" <<CONF
Mode s
Socket inet:8892@127.0.0.1
InternalHosts 127.0.0.0/8
Canonicalization relaxed/relaxed
OversignHeaders From
KeyTable inline:{ "fwd" "fwd.example.test:r1:$F/keys/r1.private" }
SigningTable refile:$F/signing
Syslog no
UserID root
CONF
  printf 'fwd fwd.example.test:r1:%s\n' "$F/keys/r1.private" >"$F/keytable"; sed -i "s|^KeyTable.*|KeyTable file:$F/keytable|" "$F/sign.conf"
  printf '*@* fwd\n' >"$F/signing"
  opendkim -f -x "$F/verify.conf" >"$F/verify.log" 2>&1 </dev/null &
  opendkim -f -x "$F/sign.conf" >"$F/sign.log" 2>&1 </dev/null &
  [ -f "$F/srs.secret" ] || head -c 18 /dev/urandom | base64 >"$F/srs.secret"
  postsrsd -s"$F/srs.secret" -dfwd.example.test -f10001 -r10002 -l127.0.0.1 -4 >"$F/srs.log" 2>&1 </dev/null &
  cat >"$F/policyd.conf" <<CONF
debugLevel = 0
HELO_reject = False
Mail_From_reject = Fail
skip_addresses = 192.0.2.1/32
Header_Type = AR
Authserv_Id = mx.example.test
CONF
}
case $1 in
  version) for each in opendkim postsrsd knotd; do command -v $each >/dev/null || { echo "$each is missing" >&2; exit 1; }; done
    [ -x /usr/bin/policyd-spf ] || { echo 'policyd-spf is missing (package postfix-policyd-spf-python)' >&2; exit 1; }
    echo "$(bash "$BASE" version), OpenDKIM, postsrsd, policyd-spf" ;;
  start) full >&2; bash "$BASE" start >&2
    cat >>"$C/main.cf" <<CONF
smtpd_milters = inet:127.0.0.1:8891, inet:127.0.0.1:8892
milter_default_action = tempfail
sender_canonical_maps = tcp:127.0.0.1:10001
sender_canonical_classes = envelope_sender
recipient_canonical_maps = tcp:127.0.0.1:10002
recipient_canonical_classes = envelope_recipient
smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:private/policyd-spf
policyd-spf_time_limit = 3600
CONF
    printf 'policyd-spf unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf %s\n' "$F/policyd.conf" >>"$C/master.cf"
    postfix -c "$C" reload >&2 ;;
  *) exec bash "$BASE" "$1" ;;
esac
