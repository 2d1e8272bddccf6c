#!/usr/bin/env bash
# `Subject : hi` is valid and may be signed, but two of four verifiers fail on it, and Postfix passes it on as `Subject: hi`.
#
# Guess: a blank before the colon (RFC 5322 s.4.5, obs-optional) is harmless. c=relaxed removes it (RFC 6376 s.3.4.2), c=simple keeps it; and a relay
# passes on the fields of a message octet for octet, since a signature may cover them.
# What happens: for a message that Mail::DKIM 1.20230212 has signed, OpenDKIM 2.11.0~beta2 and Mail::DKIM say pass, rspamd 3.4 says R_DKIM_REJECT, with
# c=relaxed too, and dkimpy 1.1.8 raises MessageFormatError, so it can neither sign nor verify. Postfix 3.7.11 removes the blank without logging it: then all
# four say pass with c=relaxed, and all four say fail with c=simple.
# Where it matters: forwarders, and anyone searching for the hop that broke a signature. One more relay makes a bad signature good, or a good one bad.
# Waypost: keeps every octet of the header section, and signs forwards with c=relaxed.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box postfix=3.7.11-0+deb12u1 dkimpy==1.1.8 opendkim=2.11.0~beta2-8+deb12u1 libopendkim11=2.11.0~beta2-8+deb12u1 \
    libmail-dkim-perl=1.20230212-2~deb12u1 libmail-authenticationresults-perl=2.20230112-1 libcryptx-perl=0.077-1+b1 \
    libcrypt-openssl-rsa-perl=0.33-3+b1 libcrypt-openssl-bignum-perl=0.09-2+b1 libgetopt-long-descriptive-perl=0.111-1 knot=3.2.6-1 rspamd=3.4-1

openssl genrsa -out key 2048 2>/dev/null
public=$(openssl rsa -in key -pubout -outform der 2>/dev/null | base64 -w0)
knot_starts 53 <<END
s._domainkey TXT "v=DKIM1; k=rsa; p=${public:0:200}" "${public:200}"
END
echo "s._domainkey.test v=DKIM1; k=rsa; p=$public" >keys
printf 'Mode v\nSyslog no\nTestPublicKeys /tmp/keys\n' >opendkim.conf
sink 2600 sink
postfix_starts <<'END'
mynetworks = 127.0.0.1
relayhost = [127.0.0.1]:2600
END

printf 'From: me@test\r\nTo: you@far.test\r\nDate: Sat, 28 Nov 2026 11:44:30 +0000\r\nMessage-ID: <1@test>\r\nSubject : hi\r\n\r\nhi\r\n' >message
by_perl() { perl -MMail::DKIM::Verifier -e '$v = Mail::DKIM::Verifier->new; $v->load(\*STDIN); print $v->result' <"$1"; }
by_opendkim() { opendkim -x opendkim.conf -t "$1" 2>&1 | grep -q succeeded && echo pass || echo fail; }
by_dkimpy() {
    /usr/bin/python3 -c 'import dkim, sys; print(dkim.verify(open(sys.argv[1], "rb").read()))' "$1" 2>&1 | tail -1 |
        sed -E 's/^True$/pass/; s/^False$/fail/; s/^dkim.(MessageFormatError).*/\1/'
}
by_rspamd() { rspamc -h 127.0.0.1:11333 -i 192.0.2.1 "$1" | grep -oE 'R_DKIM_[A-Z]+' | sed 's/R_DKIM_ALLOW/pass/; s/R_DKIM_REJECT/fail/'; }
all() { echo "Mail::DKIM $(by_perl "$1"), OpenDKIM $(by_opendkim "$1"), rspamd $(by_rspamd "$1"), dkimpy $(by_dkimpy "$1")"; }
rspamd_starts
number=0
for canonical in relaxed simple; do
    number=$((number + 1))
    { perl -MMail::DKIM::Signer -e '$s = Mail::DKIM::Signer->new(Algorithm => "rsa-sha256", Method => "$ARGV[0]/simple", Domain => "test",
        Selector => "s", KeyFile => "key"); $s->load(\*STDIN); print $s->signature->as_string, "\r\n"' $canonical <message; cat message; } >signed
    echo
    must "c=$canonical, before:" "$(all signed)" "Mail::DKIM pass, OpenDKIM pass, rspamd fail, dkimpy MessageFormatError"
    /usr/bin/python3 -c 'import smtplib; smtplib.SMTP("127.0.0.1").sendmail("me@test", "you@far.test", open("signed", "rb").read())'
    wait_for test -s sink/$number.eml
    must "the field that Postfix passes on:" "$(grep ^Subject sink/$number.eml | tr -d '\r')" "Subject: hi"
    [ $canonical = relaxed ] && after=pass || after=fail
    must "c=$canonical, after:" "$(all sink/$number.eml)" "Mail::DKIM $after, OpenDKIM $after, rspamd $after, dkimpy $after"
done
