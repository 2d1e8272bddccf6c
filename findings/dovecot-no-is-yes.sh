#!/usr/bin/env bash
# In a passwd-file, `nologin=no` refuses the login as `nologin` does; an empty `allow_nets=` refuses every network.
#
# Guess: a field `nologin=no` is off, and an empty list of networks allows all, as no list does.
# What happens: Dovecot 2.3.19.1 checks only whether the field exists: `nologin=no` and `nologin=0` refuse a right password. `NOLOGIN` is another field without
# effect. `allow_nets=` without a value allows no network.
# Where it matters: a script that writes yes and no locks out the users that should log in; on another server the same file lets them in.
# Waypost: imports them as suspended, as Dovecot treats them, with the reason.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box dovecot-core=1:2.3.19.1+dfsg1-2.1+deb12u7 dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7 curl=7.88.1-10+deb12u15

user dovecot
user dovenull
for field in "" nologin nologin=no nologin=0 NOLOGIN allow_nets= allow_nets=127.0.0.0/8; do
    echo "u-$(tr -c 'a-zA-Z0-9\n' - <<<"$field" | tr A-Z x)@here.test:{PLAIN}pencil:5000:5000::/tmp/mail::$field"
done >users
cat >dovecot.conf <<'END'
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
log_path = /tmp/dovecot.log
mail_location = maildir:/tmp/mail
passdb {
  driver = passwd-file
  args = /tmp/users
}
userdb {
  driver = passwd-file
  args = /tmp/users
}
END
install -d -o 5000 -g 5000 mail
dovecot -F -c dovecot.conf &
wait_for listens 143
login() { # NAME
    if curl -s --max-time 60 -u "$1@here.test:pencil" imap://127.0.0.1/ -X NOOP >/dev/null; then echo in; else echo out; fi
}
cat users
echo
must "no field:" "$(login u-)" in
must "nologin:" "$(login u-nologin)" out
must "nologin=no:" "$(login u-nologin-no)" out
must "nologin=0:" "$(login u-nologin-0)" out
must "NOLOGIN:" "$(login u-xxxxxxx)" in
must "allow_nets=127.0.0.0/8:" "$(login u-allow-nets-127-0-0-0-8)" in
must "allow_nets= (empty):" "$(login u-allow-nets-)" out
