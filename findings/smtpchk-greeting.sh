#!/usr/bin/env bash
# HAProxy takes a mail server for dead if its greeting has two lines, as postscreen's has; a reply to EHLO may have any number of them.
#
# Guess: `option smtpchk` looks at the code. Its manual says that codes beginning with 2 are good, and RFC 5321 allows a greeting of several lines.
# What happens: HAProxy 2.6.12 calls a server DOWN whose greeting begins with `220-`: "Layer7 invalid response". Postscreen of Postfix 3.7.11 greets each client
# so that is not in `mynetworks`, until the client has waited once. HAProxy disconnects at the first line, so that never happens, and the server stays DOWN,
# while a client that connects directly succeeds. Exim 4.96 with a `smtp_banner` of two lines is DOWN too. With an empty `postscreen_greet_banner` the server
# is UP after six seconds.
# Where it matters: once postscreen is switched on behind a load balancer, or a second line is added to the greeting, HAProxy passes no mail on.
# Waypost: greets with one line, and answers over HTTP whether it takes mail.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box haproxy=2.6.12-1+deb12u4 postfix=3.7.11-0+deb12u1 exim4-daemon-light=4.96-15+deb12u11 exim4-base=4.96-15+deb12u11 libgnutls-dane0 libunbound8 \
    curl=7.88.1-10+deb12u15

# The load balancer's address and a client's; neither is the mail server's own.
ip address add 192.0.2.1/32 dev lo
ip address add 192.0.2.7/32 dev lo
postfix_starts <<'END'
mynetworks = 127.0.0.1
mydestination = here.test
local_recipient_maps =
END
cat >>/etc/postfix/master.cf <<'END'
2025 inet n - n - - smtpd
2525 inet n - n - 1 postscreen
2526 inet n - n - 1 postscreen
  -o postscreen_greet_banner= -o postscreen_cache_map=btree:$data_directory/second_cache
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
END
postfix reload >/dev/null 2>&1

exim_configured <<'END'
local_interfaces = 127.0.0.1
acl_smtp_rcpt = accept
smtp_banner = ${if ={$received_port}{3026}{here.test ready\nno spam, please}{here.test ready}}
daemon_smtp_ports = 3025 : 3026
END
exim4 -bd
for port in 2025 2525 2526 3025 3026; do
    wait_for listens $port
done

{
    printf 'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  timeout check 15s\n'
    printf 'frontend state\n  mode http\n  bind 127.0.0.1:8404\n  stats enable\n  stats uri /\n'
    front=10000
    while read -r name port hello; do
        printf 'listen %s\n  bind 127.0.0.1:%s\n  option smtpchk %s\n' "$name" "$((front += 1))" "$hello"
        printf '  server it 127.0.0.1:%s source 192.0.2.1 check inter 1s rise 1\n' "$port"
    done <<'END'
smtpd 2025 HELO lb.test
smtpd-ehlo 2025 EHLO lb.test
postscreen 2525 HELO lb.test
postscreen-empty 2526 HELO lb.test
exim 3025 EHLO lb.test
exim-two-lines 3026 EHLO lb.test
END
} >haproxy.cfg
haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
wait_for listens 8404
state() { # SERVICE
    curl -s 'http://127.0.0.1:8404/;csv' | /usr/bin/python3 -c 'import csv, sys
for row in csv.DictReader(sys.stdin):
    if (row["# pxname"], row["svname"]) == (sys.argv[1], "it"):
        print(*(row[name] for name in ("status", "check_desc", "last_chk")), sep=", ")' "$1"
}
checked() { state "$1" | grep Layer7; }
hangups() { [ "$(grep -c 'postscreen.*HANGUP .* from \[192.0.2.1\].* in tests before SMTP handshake' postfix.log)" -ge 5 ]; }
client() { # PORT
    { timeout 60 swaks -s "127.0.0.1:$1" --local-interface "${2:-127.0.0.1}" -f me@from.test -t you@here.test -q RCPT 2>&1 || :; } >swaks.log
    if grep -A1 '^ -> RCPT' swaks.log | grep -q '^<-  250'; then echo accepted; else tail -1 swaks.log | grep -o 'Remote host closed.*'; fi
}

echo
for name in smtpd smtpd-ehlo postscreen postscreen-empty exim exim-two-lines; do
    wait_for checked $name
done
must "smtpd, HELO:" "$(state smtpd)" "UP, Layer7 check passed, 2.0.0 Bye"
must "smtpd, EHLO:" "$(state smtpd-ehlo)" "UP, Layer7 check passed, 2.0.0 Bye"
must "smtpd, a client through HAProxy:" "$(client 10001)" accepted
must "Exim, one line:" "$(state exim)" "UP, Layer7 check passed, here.test closing connection"
must "Exim, two lines:" "$(state exim-two-lines)" "DOWN, Layer7 invalid response, 220-here.test ready"
must "Exim, two lines, a client:" "$(client 3026)" accepted
must "Exim, two lines, a client through HAProxy:" "$(client 10006)" "Remote host closed connection unexpectedly."
wait_for hangups
must "postscreen, after five checks:" "$(state postscreen)" "DOWN, Layer7 invalid response, 220-here.test ESMTP Postfix"
must "postscreen, a client:" "$(client 2525 192.0.2.7)" accepted
must "postscreen, a client through HAProxy:" "$(client 10003)" "Remote host closed connection unexpectedly."
must "postscreen, empty banner:" "$(state postscreen-empty)" "UP, Layer7 check passed, 2.0.0 Bye"
