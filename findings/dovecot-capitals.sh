#!/usr/bin/env bash
# An account whose name has a capital letter in Dovecot's passwd-file does not exist, however the name is typed.
#
# Guess: names are compared without regard to case, or letter by letter: Tim@here.test gets in as Tim@here.test in any case.
# What happens: Dovecot 2.3.19.1 folds what the client typed to lower case (auth_username_format = %Lu) but not the names in the file. So nobody ever asks
# for "Tim@here.test"; "unknown user", whatever is typed, and nothing is said when the file is read. For a name that stands there twice the first
# line holds and the second password is refused; only that is an error in the log.
# Where it matters: to who moves such a file to another server: accounts come to life that never worked, with passwords that somebody knows; and one
# that keeps the last of two lines has the wrong password.
# Waypost: compares names without regard to case; `account import passwd --dry-run` lists what would come to life.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box dovecot-core=1:2.3.19.1+dfsg1-2.1+deb12u7 dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7 curl=7.88.1-10+deb12u15

user dovecot
user dovenull
cat >users <<'END'
Tim@here.test:{PLAIN}pencil:5000:5000::/tmp/mail::
joe@here.test:{PLAIN}pencil:5000:5000::/tmp/mail::
ann@here.test:{PLAIN}first:5000:5000::/tmp/mail::
ann@here.test:{PLAIN}second:5000:5000::/tmp/mail::
END
cat >dovecot.conf <<'END'
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
auth_verbose = yes
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
login() { # NAME PASSWORD
    if curl -s --max-time 60 -u "$1:$2" imap://127.0.0.1/ -X NOOP >/dev/null; then echo in; else echo out; fi
}
echo
must "joe, typed as Joe@here.test:" "$(login Joe@here.test pencil)" in
must "Tim, typed as Tim@here.test:" "$(login Tim@here.test pencil)" out
must "Tim, typed as tim@here.test:" "$(login tim@here.test pencil)" out
must "how often the log says \"unknown user\":" "$(grep -c 'tim@here.test.*unknown user' dovecot.log)" 2
must "warnings and errors about that name:" "$(grep -ciE "(warning|error|fatal): .*tim@" dovecot.log || true)" 0
must "errors about ann's second line:" "$(grep -c "Error: passwd-file /tmp/users:User ann@here.test exists more than once" dovecot.log)" 1
must "ann, with the first line's password:" "$(login ann@here.test first)" in
must "ann, with the second's:" "$(login ann@here.test second)" out
