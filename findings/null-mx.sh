#!/usr/bin/env bash
# A null MX ("this domain takes no mail") is final for Exim and Postfix; OpenSMTPD and dma retry for days.
#
# Guess: `MX 0 .` (RFC 7505) exists since 2015 and is easy to follow; mail to such a domain bounces at once.
# What happens: Exim 4.96 and Postfix 3.7.11 send a DSN at once. OpenSMTPD 6.8.0p2 takes "." for a host without an address, "No MX found for domain", and
# defers; dma 0.13 keeps the message in its queue without logging a reason. So a sender who mistypes an address learns of it days later.
# Where it matters: domains that publish the record, and senders who mistype: days of silence are what it was made against.
# Waypost: fails such a recipient at once (RFC 7505).
set -euo pipefail
. "$(dirname "$0")/box.sh"
box exim4-daemon-light=4.96-15+deb12u11 exim4-base=4.96-15+deb12u11 libgnutls-dane0 libunbound8 postfix=3.7.11-0+deb12u1 \
    opensmtpd=6.8.0p2-4+b4 libevent-2.1-7=2.1.12-stable-8+deb12u1 dma=0.13-1+b1 knot=3.2.6-1

for name in opensmtpd opensmtpq; do
    user $name
done
# An address that is no loopback, on the box's own interface, since senders leave out mail hosts that are themselves.
ip address add 192.0.2.1/32 dev lo
knot_starts 53 <<'END'
nomail MX 0 .
nomail A 192.0.2.1
END
letter() { printf 'From: me@here.test\nTo: you@nomail.test\nSubject: hi\n\nhi\n'; }

by_exim() {
    exim_configured <<'END'
begin routers
out:
  driver = dnslookup
  transport = out
begin transports
out:
  driver = smtp
  hosts_try_dane =
begin retry
* * F,5d,1h
END
    letter | exim4 -odi -f me@here.test you@nomail.test
    grep -oE '(\*\*|==|=>) you@nomail.test: .*' exim/mainlog
}
postfix_starts <<'END'
mynetworks = 127.0.0.1
END
by_postfix() {
    swaks -s 127.0.0.1 -f me@here.test -t you@nomail.test >/dev/null
    wait_for grep -qE 'to=<you@nomail.test>.* status=' postfix.log
    grep -oE 'to=<you@nomail.test>.* dsn=.*' postfix.log | grep -oE 'dsn=.*'
}
by_opensmtpd() {
    mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
    chmod 711 /var/spool/smtpd
    printf 'listen on socket\nlisten on 127.0.0.1 port 3525\naction "out" relay\nmatch from any for any action "out"\n' >smtpd.conf
    smtpd -d -f smtpd.conf >smtpd.log 2>&1 &
    wait_for listens 3525
    swaks -s 127.0.0.1:3525 -f me@here.test -t you@nomail.test >/dev/null
    wait_for grep -q 'to=<you@nomail.test>.* result=' smtpd.log
    grep -oE 'to=<you@nomail.test>.*' smtpd.log | grep -oE 'result=.*'
}
by_dma() {
    mkdir -p /etc/dma
    install -d -o root -g mail -m 2775 /var/spool/dma
    echo 'MAILNAME here.test' >/etc/dma/dma.conf
    echo 'postmaster: postmaster@here.test' >/etc/aliases
    letter | dma -f me@here.test you@nomail.test
    sleep 5
    dma -bp | grep -A1 '^From.*me@here.test' | grep -o 'you@nomail.test'
}
echo
must "Exim:" "$(by_exim)" "** you@nomail.test: an MX or SRV record indicated no SMTP service"
must "Postfix:" "$(by_postfix)" "dsn=5.1.0, status=bounced (Domain nomail.test does not accept mail (nullMX))"
must "OpenSMTPD:" "$(by_opensmtpd)" 'result="TempFail" stat="No MX found for domain"'
must "dma, in the queue after 5 seconds:" "$(by_dma)" "you@nomail.test"
