#!/usr/bin/env bash
# `opendkim -t` calls good signatures bad if a signed field has anything but one space after its colon. As a filter it says pass.
#
# Guess: the test mode runs on a file the code that the filter runs on a message, so it can decide between two other verifiers.
# What happens: OpenDKIM 2.11.0~beta2 (Debian 12) reads the file's fields without the white space after the colon and then puts one space there. With
# c=simple, `Subject:hi`, an empty `Subject:` and a Subject that begins with a fold are then different fields: "signature verification failed". The
# same program, as a milter of Postfix, says dkim=pass to each of them, and so do dkimpy 1.1.8 and Mail::DKIM 1.20230212. With c=relaxed all agree.
# Where it matters: anyone who searches for the hop that breaks signatures with `opendkim -t` looks for an error that does not exist.
# Waypost: its tests use OpenDKIM as a filter, and dkimpy; never the test mode.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box opendkim=2.11.0~beta2-8+deb12u1 libopendkim11=2.11.0~beta2-8+deb12u1 postfix=3.7.11-0+deb12u1 dkimpy==1.1.8 dnspython==2.7.0 \
    libmail-dkim-perl=1.20230212-2~deb12u1 libmail-authenticationresults-perl=2.20230112-1 libcryptx-perl=0.077-1+b1 \
    libcrypt-openssl-rsa-perl=0.33-3+b1 libcrypt-openssl-bignum-perl=0.09-2+b1 libgetopt-long-descriptive-perl=0.111-1 knot=3.2.6-1

openssl genrsa -out key 2048 2>/dev/null
public=$(openssl rsa -in key -pubout -outform der 2>/dev/null | base64 -w0)
knot_starts 53 <<END
s._domainkey TXT "v=DKIM1; k=rsa; p=${public:0:200}" "${public:200}"
END
echo "s._domainkey.test v=DKIM1; k=rsa; p=$public" >keys

cat >sign.py <<'END'
import dkim, sys

subject, canonical, name = sys.argv[1:]
message = (b"From: me@test\r\nTo: you@far.test\r\nDate: Sat, 28 Nov 2026 11:44:30 +0000\r\nMessage-ID: <" + name.encode() + b"@test>\r\nSubject:"
           + subject.encode().decode("unicode_escape").encode() + b"\r\n\r\nhi\r\n")
signature = dkim.sign(message, b"s", b"test", open("key", "rb").read(), canonicalize=(canonical.encode(), b"simple"))
open(name, "wb").write(signature + message)
END
cat >by-dkimpy.py <<'END'
import dkim, sys

print("pass" if dkim.verify(open(sys.argv[1], "rb").read()) else "fail")
END
printf 'Mode v\nSyslog no\nUserID root\nTestPublicKeys /tmp/keys\nSocket inet:8891@127.0.0.1\nInternalHosts 192.0.2.1\nAlwaysAddARHeader yes\n' >opendkim.conf
opendkim -f -x opendkim.conf >opendkim.log 2>&1 &
wait_for listens 8891
sink 2600 sink
postfix_starts <<'END'
mynetworks = 127.0.0.1
relayhost = [127.0.0.1]:2600
smtpd_milters = inet:127.0.0.1:8891
milter_default_action = tempfail
END

arrived() { grep -ls "^Message-ID: <$1@test>" sink/*.eml; }
number=0
judged() { # SUBJECT CANONICALIZATION
    local name=m$number
    /usr/bin/python3 sign.py "$1" "$2" $name
    printf 'dkimpy %s, ' "$(/usr/bin/python3 by-dkimpy.py $name)"
    printf 'Mail::DKIM %s, ' "$(perl -MMail::DKIM::Verifier -e '$v = Mail::DKIM::Verifier->new; $v->load(\*STDIN); print $v->result' <$name)"
    /usr/bin/python3 -c 'import smtplib, sys; smtplib.SMTP("127.0.0.1").sendmail("me@test", "you@far.test", open(sys.argv[1], "rb").read())' $name
    wait_for arrived $name
    printf 'filter %s, ' "$(grep -oE 'dkim=[a-z]+' "$(arrived $name)" | head -1 | cut -d= -f2)"
    opendkim -x opendkim.conf -t $name 2>&1 | grep -q succeeded && echo "-t pass" || echo "-t fail"
}
echo
for subject in ' hi' 'hi' '' '\r\n hi'; do
    [ "$subject" = ' hi' ] && last=pass || last=fail
    for canonical in relaxed simple; do
        number=$((number + 1))
        [ $canonical = simple ] && test=$last || test=pass
        must "c=$canonical, \"Subject:$subject\"" "$(judged "$subject" $canonical)" "dkimpy pass, Mail::DKIM pass, filter pass, -t $test"
    done
done
