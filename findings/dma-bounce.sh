#!/usr/bin/env bash
# dma's DSNs have a From without an address: `From: MAILER-DAEMON <>`.
#
# Guess: the <> of the envelope stays in the envelope; From has an address of the host, as with every other MTA.
# What happens: dma 0.13, the small MTA of Debian and DragonFly, writes `From: MAILER-DAEMON <>` into each DSN, also over SMTP to other hosts. That is not
# an address (RFC 5322 s.3.4), so there is no domain for DMARC. The DSN is plain text, without Auto-Submitted, and names the failed address in
# a sentence only. Its Received field has a name without an address too, "from MAILER-DAEMON".
# Where it matters: receivers that require an address in From refuse these DSNs. Since they have the null reverse-path, that refusal is reported to no one: the
# sender of the failed message never learns of it.
# Waypost: accepts such a DSN, without a DMARC policy; its own are from postmaster at its host name, as multipart/report.
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
