#!/usr/bin/env bash
# DSNs of Exim and OpenSMTPD say `Status: 5.0.0` whatever the remote host said, and OpenSMTPD's are not a multipart/report.
#
# Guess: RFC 3464 DSNs are made to be read by programs, and two well-known MTAs fill them in: Status has the remote 5.1.1, and Content-Type is
# multipart/report; report-type=delivery-status.
# What happens: after `550 5.1.1`, Exim 4.96 writes `Status: 5.0.0`, although its Diagnostic-Code has `550 5.1.1`. OpenSMTPD 6.8.0p2 writes
# `Status: 5.0.0`, has neither Diagnostic-Code nor Remote-MTA, and puts its message/delivery-status into a multipart/mixed; the body of a small message
# is in its part text/rfc822-headers too. Postfix 3.7.11 behaves as guessed.
# Where it matters: lists and forwarders that learn from DSNs which addresses no longer exist. One that counts 5.1.1 counts none of Exim's, and one
# that looks for multipart/report sees none of OpenSMTPD's.
# Waypost: recognizes message/delivery-status in any multipart, and with Status 5.0.0 uses the code in the target's own words.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box exim4-daemon-light=4.96-15+deb12u11 exim4-base=4.96-15+deb12u11 libgnutls-dane0 libunbound8 opensmtpd=6.8.0p2-4+b4 libevent-2.1-7=2.1.12-stable-8+deb12u1 \
    postfix=3.7.11-0+deb12u1

for name in opensmtpd opensmtpq; do
    user $name
done
for port in 2501 2502 2503; do
    sink $port $port "RCPT TO:<you@far.test>" "550 5.1.1 No such user"
done
letter() { swaks -s "127.0.0.1:$1" -f me@here.test -t you@far.test --body "the body" >/dev/null; }

exim_configured <<'END'
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = 2501
  hosts_try_dane =
END
printf 'From: me@here.test\nTo: you@far.test\nSubject: test\n\nthe body\n' | exim4 -odi -f me@here.test you@far.test

mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
chmod 711 /var/spool/smtpd
cat >smtpd.conf <<'END'
listen on socket
listen on 127.0.0.1 port 3525
action "out" relay host smtp://127.0.0.1:2502
match from any for any action "out"
END
smtpd -d -f smtpd.conf >smtpd.log 2>&1 &
wait_for listens 3525
letter 3525

postfix_starts <<'END'
mynetworks = 127.0.0.1
relayhost = [127.0.0.1]:2503
END
letter 25

cat >report.py <<'END'
"""Reads a report as a program would: the type of the whole, and a field of its part message/delivery-status."""
import email, sys

message = email.message_from_binary_file(open(sys.argv[1] + "/1.eml", "rb"))
part = next(part for part in message.walk() if part.get_content_type() == "message/delivery-status")
recipient = part.get_payload()[-1]
print(message.get_content_type() if sys.argv[2] == "type" else recipient.get(sys.argv[2], "none"))
END
field() { /usr/bin/python3 report.py "$1" "$2"; }
for port in 2501 2502 2503; do
    wait_for test -s $port/1.eml
done
echo
must "Postfix, Content-Type:" "$(field 2503 type)" "multipart/report"
must "Postfix, Status:" "$(field 2503 Status)" "5.1.1"
must "Exim, Content-Type:" "$(field 2501 type)" "multipart/report"
must "Exim, Diagnostic-Code:" "$(field 2501 Diagnostic-Code | tail -1)" "smtp; 550 5.1.1 No such user"
must "Exim, Status:" "$(field 2501 Status)" "5.0.0"
must "OpenSMTPD, Content-Type:" "$(field 2502 type)" "multipart/mixed"
must "OpenSMTPD, Diagnostic-Code:" "$(field 2502 Diagnostic-Code)" "none"
must "OpenSMTPD, Remote-MTA:" "$(field 2502 Remote-MTA)" "none"
must "OpenSMTPD, Status:" "$(field 2502 Status)" "5.0.0"
must "OpenSMTPD, text/rfc822-headers with the body:" "$(sed '1,/text\/rfc822-headers/d' 2502/1.eml | grep -c 'the body')" 1
