#!/usr/bin/env bash
# An account whose name has a capital letter in Dovecot's passwd-file cannot log in, however the name is typed.
#
# Guess: names are compared without regard to case, or octet by octet: Tim@here.test can log in as Tim@here.test in both cases.
# What happens: Dovecot 2.3.19.1 folds the typed name to lower case (auth_username_format = %Lu) but not the names in the file. So "Tim@here.test" is never looked
# up; the answer is "unknown user", whatever is typed, and reading the file gives no warning. For a duplicate name the first line counts and the second
# password is refused; only that is logged as an error.
# Where it matters: after moving such a file to another server, accounts start to work that never worked, with passwords that others may know; and a
# server that keeps the last of two lines has the wrong password.
# Waypost: compares names without regard to case; `account import passwd --dry-run` lists the accounts that would start to work.
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
