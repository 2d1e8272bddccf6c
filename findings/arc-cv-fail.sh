#!/usr/bin/env bash
# A forwarder that finds a broken ARC chain and says so, as RFC 8617 s.5.1.2 asks, makes the failure disappear at receivers that use dkimpy.
#
# Guess: the set that such a forwarder adds, with cv=fail, makes every receiver say arc=fail (s.5.2: "the chain state is fail, and the algorithm stops").
# What happens: dkimpy 1.1.8 answers None, which is no result of the RFC, where it says `fail` for the same chain without that set. Mail::DKIM 1.20230212 and
# rspamd 3.4 say fail for both.
# Where it matters: programs that take None for `none` treat the message as one that never had a chain: the honest set launders it.
# Waypost: says fail for both, and adds no set to a chain that failed.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box dkimpy==1.1.8 authres==1.2.0 libmail-dkim-perl=1.20230212-2~deb12u1 libmail-authenticationresults-perl=2.20230112-1 libcryptx-perl=0.077-1+b1 \
    libcrypt-openssl-rsa-perl=0.33-3+b1 libcrypt-openssl-bignum-perl=0.09-2+b1 libgetopt-long-descriptive-perl=0.111-1 knot=3.2.6-1 rspamd=3.4-1

openssl genrsa -traditional -out key 2048 2>/dev/null
public=$(openssl rsa -in key -pubout -outform der 2>/dev/null | base64 -w0)
knot_starts 53 <<END
s._domainkey TXT "v=DKIM1; k=rsa; p=${public:0:200}" "${public:200}"
END
cat >chains.py <<'END'
import dkim, sys
key = open("key", "rb").read()
def sealed(message, server, results):
    message = b"Authentication-Results: " + server + b"; " + results + b"\r\n" + message
    return b"".join(dkim.ARC(message).sign(b"s", b"test", key, server, include_headers=[b"from", b"subject"])) + message
message = b"From: her@test\r\nTo: me@far.test\r\nDate: Sun, 29 Nov 2026 01:02:03 +0000\r\nMessage-ID: <1@test>\r\nSubject: hi\r\n\r\nhi\r\n"
whole = sealed(message, b"list.test", b"arc=none; spf=pass")
broken = whole.replace(b"Subject: hi", b"Subject: ho")
for name, content in [("whole", whole), ("broken", broken), ("told", sealed(broken, b"forwarder.test", b"arc=fail; spf=pass"))]:
    open(name, "wb").write(content)
END
/usr/bin/python3 chains.py
by_dkimpy() {
    /usr/bin/python3 -c 'import dkim, sys; cv = dkim.ARC(open(sys.argv[1], "rb").read()).verify(
        dnsfunc=lambda name, timeout=5: sys.argv[2].encode())[0]; print(cv and cv.decode())' "$1" "v=DKIM1; k=rsa; p=$public" 2>/dev/null
}
by_perl() { perl -MMail::DKIM::ARC::Verifier -e '$v = Mail::DKIM::ARC::Verifier->new; $v->load(\*STDIN); print $v->result' <"$1"; }
by_rspamd() { rspamc -h 127.0.0.1:11333 -i 192.0.2.1 "$1" | grep -oE 'ARC_[A-Z]+' | grep -v SIGNED | head -1; }
all() { echo "dkimpy $(by_dkimpy "$1"), Mail::DKIM $(by_perl "$1"), rspamd $(by_rspamd "$1")"; }
rspamd_starts
must "one set:" "$(all whole)" "dkimpy pass, Mail::DKIM pass, rspamd ARC_ALLOW"
must "the Subject was changed afterwards:" "$(all broken)" "dkimpy fail, Mail::DKIM fail, rspamd ARC_REJECT"
must "and a second set says cv=fail:" "$(all told)" "dkimpy None, Mail::DKIM fail, rspamd ARC_REJECT"
