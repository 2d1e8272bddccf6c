#!/usr/bin/env bash
# dkimpy rejects a DKIM key for mail and TLS reports, `s=email:tlsrpt`; with blanks around the colon, Mail::DKIM rejects it too.
#
# Guess: s= is a list with colons (RFC 6376 s.3.6.1), and RFC 8460 s.3 requires tlsrpt in it for the key that signs TLS reports; a server that signs mail and
# reports with one key lists both, and blanks around a colon have no meaning.
# What happens: dkimpy 1.1.8 compares the whole value with `*`, `email` and `tlsrpt`, and so verifies no mail with such a key, and no TLS report either.
# Mail::DKIM 1.20230212 splits the list but keeps the blanks: `s=email : tlsrpt` and `h=sha1 : sha256` are invalid. OpenDKIM 2.11.0~beta2 and
# rspamd 3.4 say pass to all of them, and all four do without s=.
# Where it matters: a server that begins to sign TLS reports and narrows its key as the RFC says: some receivers take its mail for unsigned.
# Waypost: publishes its keys without s=, which means every service, and without h=.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box dkimpy==1.1.8 dnspython==2.7.0 opendkim=2.11.0~beta2-8+deb12u1 libopendkim11=2.11.0~beta2-8+deb12u1 rspamd=3.4-1 \
    libmail-dkim-perl=1.20230212-2~deb12u1 libmail-authenticationresults-perl=2.20230112-1 libcryptx-perl=0.077-1+b1 \
    libcrypt-openssl-rsa-perl=0.33-3+b1 libcrypt-openssl-bignum-perl=0.09-2+b1 libgetopt-long-descriptive-perl=0.111-1 knot=3.2.6-1

openssl genrsa -out key 2048 2>/dev/null
public=$(openssl rsa -in key -pubout -outform der 2>/dev/null | base64 -w0)
for tags in "none=" "both=s=email:tlsrpt; " "email=s=email; " "blanks=s=email : tlsrpt; " "hashes=h=sha1:sha256; " "spaced=h=sha1 : sha256; "; do
    selector=${tags%%=*}
    echo "$selector._domainkey TXT \"v=DKIM1; k=rsa; ${tags#*=}p=${public:0:200}\" \"${public:200}\"" >>zone
    echo "$selector._domainkey.test v=DKIM1; k=rsa; ${tags#*=}p=$public" >>keys
done
knot_starts 53 <zone
printf 'Mode v\nSyslog no\nTestPublicKeys /tmp/keys\n' >opendkim.conf
rspamd_starts

cat >sign.py <<'END'
import dkim, sys

message = b"From: me@test\r\nTo: you@far.test\r\nDate: Sat, 28 Nov 2026 11:44:30 +0000\r\nMessage-ID: <1@test>\r\nSubject: hi\r\n\r\nhi\r\n"
open("signed", "wb").write(dkim.sign(message, sys.argv[1].encode(), b"test", open("key", "rb").read()) + message)
END
cat >by-dkimpy.py <<'END'
import dkim, sys

print("pass" if dkim.verify(open("signed", "rb").read(), tlsrpt=len(sys.argv) > 1) else "fail")
END
judged() { # SELECTOR
    /usr/bin/python3 sign.py "$1"
    printf 'OpenDKIM %s, ' "$(opendkim -x opendkim.conf -t signed 2>&1 | grep -q succeeded && echo pass || echo fail)"
    printf 'rspamd %s, ' "$(rspamc -h 127.0.0.1:11333 -i 192.0.2.1 signed | grep -oE 'R_DKIM_[A-Z]+' | sed 's/R_DKIM_ALLOW/pass/')"
    printf 'Mail::DKIM %s, ' "$(perl -MMail::DKIM::Verifier -e '$v = Mail::DKIM::Verifier->new; $v->load(\*STDIN); print $v->result' <signed)"
    echo "dkimpy $(/usr/bin/python3 by-dkimpy.py 2>/dev/null)"
}
echo
must "neither s= nor h=" "$(judged none)" "OpenDKIM pass, rspamd pass, Mail::DKIM pass, dkimpy pass"
must "s=email" "$(judged email)" "OpenDKIM pass, rspamd pass, Mail::DKIM pass, dkimpy pass"
must "s=email:tlsrpt" "$(judged both)" "OpenDKIM pass, rspamd pass, Mail::DKIM pass, dkimpy fail"
must "s=email:tlsrpt, dkimpy, as a report" "$(/usr/bin/python3 by-dkimpy.py report 2>/dev/null)" fail
must "s=email : tlsrpt" "$(judged blanks)" "OpenDKIM pass, rspamd pass, Mail::DKIM invalid, dkimpy fail"
must "h=sha1:sha256" "$(judged hashes)" "OpenDKIM pass, rspamd pass, Mail::DKIM pass, dkimpy pass"
must "h=sha1 : sha256" "$(judged spaced)" "OpenDKIM pass, rspamd pass, Mail::DKIM invalid, dkimpy pass"
