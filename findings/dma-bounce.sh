#!/usr/bin/env bash
# dma's reports have a From without an address: `From: MAILER-DAEMON <>`.
#
# Guess: what stands between the angle brackets of the envelope, <>, stays there; in From stands an address of the host, as with every other sender.
# What happens: dma 0.13, the small sender of Debian and DragonFly, writes `From: MAILER-DAEMON <>` into each report that it sends, over SMTP to other
# hosts, too. That is no address (RFC 5322 s.3.4), so there is no domain that DMARC could look up. The report is plain text, without Auto-Submitted, and
# gives the failed address in a sentence only. Its Received field has a name without an address, too, "from MAILER-DAEMON".
# Where it matters: whoever refuses mail whose From has no address refuses these reports. As they have the null reverse-path nobody is told about
# that: the sender of the failed message never learns of it.
# Waypost: lets such a report in, to no policy of DMARC; its own are from postmaster at its host name, as multipart/report.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box dma=0.13-1+b1

sink 2525 far "RCPT TO:<you@far.test>" "550 5.1.1 No such user"
mkdir -p /etc/dma
install -d -o root -g mail -m 2775 /var/spool/dma
printf 'SMARTHOST 127.0.0.1\nPORT 2525\nMAILNAME here.test\n' >/etc/dma/dma.conf
echo '*: me@elsewhere.test' >/etc/aliases
printf 'From: me@elsewhere.test\nTo: you@far.test\nSubject: hi\n\nhi\n' | dma -f me@elsewhere.test you@far.test
wait_for test -s far/1.eml
echo
field() { grep -m1 "^$1:" far/1.eml | tr -d "\r" | grep . || echo none; }
must "the report's envelope:" "$(paste -sd' ' far/1.env)" "MAIL FROM:<> RCPT TO:<me@elsewhere.test>"
must "its author:" "$(field From)" "From: MAILER-DAEMON <>"
must "an address in it:" "$(/usr/bin/python3 -c 'import email.utils; print(email.utils.parseaddr("MAILER-DAEMON <>")[1] or "none")')" "none"
must "its Content-Type:" "$(field Content-Type)" "none"
must "its Auto-Submitted:" "$(field Auto-Submitted)" "none"
