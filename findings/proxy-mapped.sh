#!/usr/bin/env bash
# Behind a load balancer that has one socket for IPv4 and IPv6, mail servers take an IPv4 client for another one, while the health checks see no fault.
#
# Guess: a PROXY header says who the client is; on which socket of the load balancer it arrived changes nothing.
# What happens: with `bind :::25 v4v6` HAProxy 2.6.12 names an IPv4 client `TCP6 ::ffff:192.0.2.7`. Postfix 3.7.11 takes it for 192.0.2.7, but with
# `inet_protocols = ipv4` it answers 421. Exim 4.96 finds the client in a list of hosts, and yet says SPF fail for it. For OpenSMTPD 6.8.0p2
# it is not in `src 192.0.2.7`. Dovecot 2.3.19.1 finds it in `allow_nets`. HAProxy calls all of them UP, since the header of its checks names no client.
# Where it matters: when a load balancer gets IPv6, good mail over IPv4 is deferred or refused.
# Waypost: takes such an address for the IPv4 address in it, everywhere.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box haproxy=2.6.12-1+deb12u4 postfix=3.7.11-0+deb12u1 exim4-daemon-heavy=4.96-15+deb12u11 exim4-base=4.96-15+deb12u11 libgnutls-dane0 libunbound8 \
    libmariadb3 libspf2-2=1.2.10-7.2+b1 opensmtpd=6.8.0p2-4+b4 libevent-2.1-7=2.1.12-stable-8+deb12u1 dovecot-core=1:2.3.19.1+dfsg1-2.1+deb12u7 \
    dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7 curl=7.88.1-10+deb12u15 knot=3.2.6-1

for name in opensmtpd opensmtpq dovecot dovenull; do
    user $name
done
# The load balancer's address, and the client's.
ip address add 192.0.2.1/32 dev lo
ip address add 192.0.2.7/32 dev lo
knot_starts 53 <<'END'
from TXT "v=spf1 ip4:192.0.2.7 -all"
END

# What each service requires: the client 192.0.2.7.
postfix_starts <<'END'
mynetworks = 192.0.2.7
smtpd_relay_restrictions = permit_mynetworks, reject
END
cat >>/etc/postfix/master.cf <<'END'
2525 inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy -o inet_protocols=all
2526 inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy -o inet_protocols=ipv4
END
postfix reload >/dev/null 2>&1

exim_configured <<'END'
hosts_proxy = 127.0.0.1
daemon_smtp_ports = 3025
local_interfaces = 127.0.0.1
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept local_parts = list
         hosts = 192.0.2.7
  deny local_parts = spf
       !spf = pass
       message = SPF $spf_result
  accept local_parts = spf
END
exim4 -bd

mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
chmod 711 /var/spool/smtpd
cat >smtpd.conf <<'END'
listen on socket
listen on 127.0.0.1 port 4025 proxy-v2
action "out" relay
match from src 192.0.2.7 for any action "out"
END
smtpd -d -f smtpd.conf >smtpd.log 2>&1 &

cat >dovecot.conf <<'END'
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
log_path = /tmp/dovecot.log
mail_location = maildir:/tmp/mail
haproxy_trusted_networks = 127.0.0.1
service imap-login {
  inet_listener imap {
    port = 5143
    haproxy = yes
  }
}
passdb {
  driver = static
  args = password=pencil allow_nets=192.0.2.7
}
userdb {
  driver = static
  args = uid=5000 gid=5000 home=/tmp/mail
}
END
install -d -o 5000 -g 5000 mail
dovecot -F -c dovecot.conf &
for port in 2525 2526 3025 4025 5143; do
    wait_for listens $port
done

# For each service a port of the load balancer for IPv4 only, 1xxxx, and one for both, 2xxxx.
{
    printf 'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  timeout check 15s\n'
    printf 'frontend state\n  mode http\n  bind 127.0.0.1:8404\n  stats enable\n  stats uri /\n'
    while read -r name port options; do
        printf 'listen %s\n  bind 0.0.0.0:%s\n  bind :::%s v4v6\n  server it 127.0.0.1:%s %s\n' "$name" "1$port" "2$port" "$port" "$options"
        [[ $options != *check* ]] || [ "$name" = dovecot ] || echo '  option smtpchk'
    done <<'END'
header 9025 send-proxy
postfix 2525 send-proxy-v2 check inter 1s rise 1
postfix4 2526 send-proxy-v2 check inter 1s rise 1
exim 3025 send-proxy-v2 check inter 1s rise 1
opensmtpd 4025 send-proxy-v2 check inter 1s rise 1
dovecot 5143 send-proxy-v2 check inter 1s rise 1
END
} >haproxy.cfg
haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
wait_for listens 8404
# What HAProxy says of a service: its state and its last check.
state() { curl -s 'http://127.0.0.1:8404/;csv' | grep "^$1,it," | cut -d, -f18,37 | tr -d '* '; }
checked() { state "$1" | grep ',L'; }

header() { # PORT
    /usr/bin/python3 -c 'import socket
server = socket.create_server(("127.0.0.1", 9025))
server.settimeout(20)
print(server.accept()[0].makefile().readline())' >header &
    wait_for listens_to_9025
    swaks -s "192.0.2.1:$1" --local-interface 192.0.2.7 -t x@here.test >/dev/null 2>&1 || :
    cut -d' ' -f1-4 header | head -1
}
listens_to_9025() { ss -Hlnt 'sport = 9025' | grep .; }
smtp() { # PORT LOCAL-PART
    { timeout 60 swaks -s "192.0.2.1:$1" --local-interface 192.0.2.7 -f me@from.test -t "$2@there.test" -q RCPT 2>&1 || :; } >swaks.log
    # The reply to RCPT, or an earlier one that ended the session.
    grep -A1 -E '^ -> RCPT|^<\*\* 4' swaks.log | grep -m1 -oE '^<.. +[0-9].*' | sed -E 's/^<.. +//'
}
imap() { # PORT
    curl -s --max-time 60 --interface 192.0.2.7 -u me:pencil "imap://192.0.2.1:$1" -X NOOP >/dev/null && echo "logged in"
}

echo
must "header, IPv4 socket:" "$(header 19025)" "PROXY TCP4 192.0.2.7 192.0.2.1"
must "header, common socket:" "$(header 29025)" "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1"
for name in postfix postfix4 exim opensmtpd dovecot; do
    wait_for checked $name
    if [ $name = dovecot ]; then layer=4; else layer=7; fi
    must "HAProxy's check of $name:" "$(state $name)" "UP,L${layer}OK"
done
for side in 1 2; do
    if [ $side = 1 ]; then socket="IPv4 socket"; else socket="common socket"; fi
    must "Postfix, $socket:" "$(smtp ${side}2525 you)" "250 2.1.5 Ok"
    case $side in 1) reply="250 2.1.5 Ok" ;; *) reply="421 4.3.0 here.test Server local error" ;; esac
    must "Postfix with inet_protocols = ipv4, $socket:" "$(smtp ${side}2526 you)" "$reply"
    must "Exim, list of hosts, $socket:" "$(smtp ${side}3025 list)" "250 Accepted"
    case $side in 1) reply="250 Accepted" ;; *) reply="550 SPF fail" ;; esac
    must "Exim, SPF, $socket:" "$(smtp ${side}3025 spf)" "$reply"
    case $side in 1) reply="250 2.1.5 Destination address valid: Recipient ok" ;; *) reply="550 Invalid recipient: <you@there.test>" ;; esac
    must "OpenSMTPD, $socket:" "$(smtp ${side}4025 you)" "$reply"
    must "Dovecot, allow_nets, $socket:" "$(imap ${side}5143)" "logged in"
done
