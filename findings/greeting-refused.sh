#!/usr/bin/env bash
# A greeting of 554 or 521 is a permanent refusal for some senders only: two of five keep the mail and retry for days.
#
# Guess: the class of a reply decides. 5yz is final anywhere, and RFC 7504 made the greeting 521 to say "never here"; a sender sends a DSN at once.
# What happens: Exim 4.96, dma 0.13 and nullmailer 2.2 give up at the first try. Postfix 3.7.11 defers ("refused to talk to me"), and so does OpenSMTPD
# 6.8.0p2, which logs a "Network error on destination MXs". The same words in reply to RCPT are final for all five.
# Where it matters: a server that rejects clients with a 5yz greeting (a blocklist, a host without mail) leaves Postfix's users without a DSN for five days.
# Waypost: rejects clients with 421, and refuses permanently only in reply to a command, where every sender accepts it.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box exim4-daemon-light=4.96-15+deb12u11 exim4-base=4.96-15+deb12u11 libgnutls-dane0 libunbound8 postfix=3.7.11-0+deb12u1 \
    opensmtpd=6.8.0p2-4+b4 libevent-2.1-7=2.1.12-stable-8+deb12u1 dma=0.13-1+b1 nullmailer=1:2.2-4

letter() { printf 'From: me@here.test\nTo: you@far.test\nSubject: hi\n\nhi\n'; }
sink 2521 521 GREETING "521 far.test takes no mail"
sink 2554 554 GREETING "554 not from you"
sink 2550 550 "RCPT TO:<you@" "554 5.7.1 not from you"

for name in opensmtpd opensmtpq nullmail; do
    user $name
done

by_exim() { # PORT
    exim_configured "$1" <<END
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = $1
  hosts_try_dane =
begin retry
* * F,5d,1h
END
    letter | exim4 -odi -f me@here.test you@far.test
    if grep -q '\*\* you@far.test' "exim$1/mainlog"; then echo "gives up"; elif grep -q '== you@far.test' "exim$1/mainlog"; then echo waits; fi
}

postfix_starts <<'END'
mynetworks = 127.0.0.1
smtpd_relay_restrictions = permit_mynetworks, reject
transport_maps = inline:{521.test=smtp:[127.0.0.1]:2521, 554.test=smtp:[127.0.0.1]:2554, 550.test=smtp:[127.0.0.1]:2550}
END
by_postfix() {
    swaks -s 127.0.0.1 -f me@here.test -t "you@${1#2}.test" >/dev/null
    wait_for grep -qE "to=<you@${1#2}.test>.* status=" postfix.log
    grep -qE "to=<you@${1#2}.test>.* status=bounced" postfix.log && echo "gives up" || echo waits
}

mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
chmod 711 /var/spool/smtpd
cat >smtpd.conf <<'END'
listen on socket
listen on 127.0.0.1 port 3525
action "521" relay host smtp://127.0.0.1:2521
action "554" relay host smtp://127.0.0.1:2554
action "550" relay host smtp://127.0.0.1:2550
match from any for domain 521.test action "521"
match from any for domain 554.test action "554"
match from any for any action "550"
END
smtpd -d -f smtpd.conf >smtpd.log 2>&1 &
wait_for listens 3525
by_opensmtpd() {
    swaks -s 127.0.0.1:3525 -f me@here.test -t "you@${1#2}.test" >/dev/null
    wait_for grep -q "to=<you@${1#2}.test>.* result=" smtpd.log
    grep -q "to=<you@${1#2}.test>.* result=\"PermFail" smtpd.log && echo "gives up" || echo waits
}

by_dma() {
    mkdir -p /etc/dma
    rm -rf /var/spool/dma
    install -d -o root -g mail -m 2775 /var/spool/dma
    printf 'SMARTHOST 127.0.0.1\nPORT %s\nMAILNAME here.test\n' "$1" >/etc/dma/dma.conf
    echo 'postmaster: postmaster@here.test' >/etc/aliases
    letter | dma -f me@here.test you@far.test
    sleep 2
    dma -bp | grep -q me@here.test && echo waits || echo "gives up"
}

by_nullmailer() {
    mkdir -p /etc/nullmailer
    rm -rf /var/spool/nullmailer
    mkdir -p /var/spool/nullmailer/{queue,failed,tmp}
    mkfifo /var/spool/nullmailer/trigger
    chown -R nullmail /var/spool/nullmailer
    chown nullmail /usr/sbin/nullmailer-queue
    chmod 4755 /usr/sbin/nullmailer-queue
    echo "127.0.0.1 smtp --port=$1" >/etc/nullmailer/remotes
    nullmailer-send >nullmailer.log 2>&1 &
    local sender=$!
    sleep 0.5
    letter | nullmailer-inject -f me@here.test you@far.test
    wait_for grep -q 'Delivery complete' nullmailer.log
    kill $sender
    [ -n "$(ls /var/spool/nullmailer/failed)" ] && echo "gives up" || echo waits
}

echo
for port in 2521 2554 2550; do
    case $port in 2550) what="RCPT: 554" final="gives up" ;; *) what="greeting: ${port#2}" final=waits ;; esac
    must "Exim, $what" "$(by_exim $port)" "gives up"
    must "dma, $what" "$(by_dma $port)" "gives up"
    must "nullmailer, $what" "$(by_nullmailer $port)" "gives up"
    must "Postfix, $what" "$(by_postfix $port)" "$final"
    must "OpenSMTPD, $what" "$(by_opensmtpd $port)" "$final"
done
