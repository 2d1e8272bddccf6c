#!/usr/bin/env bash
# A valid SPF record, `v=spf1 mx ip6:... -all`, is a permerror for mail over IPv6 if three mail hosts have no IPv6 address.
#
# Guess: a lookup is void if a name is wrong. Three existing mail hosts are not a mistake, so the listed IPv6 address passes.
# What happens: for a client with an IPv6 address the AAAA records of the mail hosts are looked up. Each missing one is a void lookup, and the
# third exceeds the limit (RFC 7208 s.4.6.4 allows two): permerror in pyspf 2.0.14 and Mail::SPF 2.9.0. libspf2 1.2.10
# (in Debian's exim4-daemon-heavy) and rspamd 3.4 say pass. The same mail over IPv4, and the record with `ip6:` before `mx`, pass everywhere.
# Where it matters: domains that send over IPv6 and receive at several IPv4 hosts of a provider; their mail fails with some receivers only.
# Waypost: counts one void lookup for each term, so the record passes; the record that it plans is `v=spf1 mx ~all`, where each mail host is its own.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box python3-spf=2.0.14-3 python3-dnspython=2.3.0-1+deb12u1 libmail-spf-perl=2.9.0-5 libnetaddr-ip-perl=4.079+dfsg-2+b1 \
    spfquery=1.2.10-7.2+b1 libspf2-2=1.2.10-7.2+b1 knot=3.2.6-1 rspamd=3.4-1

knot_starts 53 <<'END'
last MX 10 a.last
last MX 20 b.last
last MX 30 c.last
last TXT "v=spf1 mx ip6:2001:db8::25 ip4:192.0.2.25 -all"
a.last A 192.0.2.1
b.last A 192.0.2.2
c.last A 192.0.2.3
first MX 10 a.last
first MX 20 b.last
first MX 30 c.last
first TXT "v=spf1 ip6:2001:db8::25 ip4:192.0.2.25 mx -all"
two MX 10 a.last
two MX 20 b.last
two TXT "v=spf1 mx ip6:2001:db8::25 ip4:192.0.2.25 -all"
END

by_pyspf() { /usr/bin/python3 -c 'import spf, sys; print(spf.check2(i=sys.argv[1], s="me@" + sys.argv[2], h=sys.argv[2])[0])' "$1" "$2.test"; }
by_perl() {
    perl -MMail::SPF -e 'print Mail::SPF::Server->new->process(Mail::SPF::Request->new(scope => "mfrom", identity => "me\@$ARGV[1]",
        ip_address => $ARGV[0]))->code' "$1" "$2.test"
}
by_libspf2() { spfquery.libspf2 -i "$1" -s "me@$2.test" -h "$2.test" 2>/dev/null | head -1; }
by_rspamd() {
    printf 'From: me@here.test\r\nSubject: hi\r\n\r\nhi\r\n' | rspamc -h 127.0.0.1:11333 -i "$1" -F "me@$2.test" --helo "$2.test" |
        grep -oE 'R_SPF_[A-Z]+' | sed 's/R_SPF_ALLOW/pass/'
}
all() { echo "pyspf $(by_pyspf "$@"), Mail::SPF $(by_perl "$@"), libspf2 $(by_libspf2 "$@"), rspamd $(by_rspamd "$@")"; }
rspamd_starts
echo
must "over IPv4:" "$(all 192.0.2.25 last)" "pyspf pass, Mail::SPF pass, libspf2 pass, rspamd pass"
must "over IPv6, ip6 before mx:" "$(all 2001:db8::25 first)" "pyspf pass, Mail::SPF pass, libspf2 pass, rspamd pass"
must "over IPv6, mx with two hosts before ip6:" "$(all 2001:db8::25 two)" "pyspf pass, Mail::SPF pass, libspf2 pass, rspamd pass"
must "over IPv6, mx with three hosts before ip6:" "$(all 2001:db8::25 last)" "pyspf permerror, Mail::SPF permerror, libspf2 pass, rspamd pass"
