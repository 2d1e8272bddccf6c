#!/usr/bin/env bash
# mutt chooses SCRAM-SHA-256-PLUS, cannot bind the channel and gives up; it tries no other mechanism, although all others would work.
#
# Guess: a client that cannot bind to the TLS channel does not choose a mechanism that requires it, or else falls back to SCRAM-SHA-256.
# What happens: mutt 2.2.12 of Debian 12 (with gsasl 2.2.0) takes the best name of the server's list. It has no binding, so it sends `*` after the server's
# 334: "SASL authentication failed", with TLS 1.2 and 1.3. If SCRAM-SHA-256-PLUS is not offered, it logs in by SCRAM-SHA-256; so a server that offers
# more accepts fewer logins. `set smtp_authenticators` in its configuration helps.
# Where it matters: a server that begins to offer channel binding locks out users with the right password, and logs failed logins without a name.
# Waypost: offers -PLUS only with `[submission] channel_binding = true`.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box mutt=2.2.12-0.1~deb12u2 libgsasl18=2.2.0-1+deb12u2

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out certificate -subj /CN=localhost -days 2 2>/dev/null
cat >server.py <<'END'
"""Shows which mechanism is chosen and how the client continues; refuses every login."""
import base64, socketserver, ssl, sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate", "key")
if sys.argv[2] == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        connection = context.wrap_socket(self.request, server_side=True)
        lines = connection.makefile("rwb")

        def say(text):
            lines.write(text.encode() + b"\r\n")
            lines.flush()

        say("220 far.test ESMTP")
        while line := lines.readline().decode().strip():
            verb, *words = line.split()
            if verb == "EHLO":
                say("250-far.test\r\n250 AUTH " + sys.argv[3])
            elif verb == "AUTH":
                first = words[1] if len(words) > 1 else (say("334 "), lines.readline().decode().strip())[1]
                first = base64.b64decode(first).split(b",r=")[0].decode() if first != "*" else first
                print(connection.version(), words[0], "then", first.replace("\0", "|"), flush=True)
                say("535 5.7.8 no")
            else:
                say("250 ok")


socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
END
PLUS="SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"
/usr/bin/python3 server.py 1001 1.3 "$PLUS" >>1001.log 2>/dev/null &
/usr/bin/python3 server.py 1002 1.2 "$PLUS" >>1002.log 2>/dev/null &
/usr/bin/python3 server.py 1003 1.3 "SCRAM-SHA-256 PLAIN" >>1003.log 2>/dev/null &

by_mutt() { # PORT LINE-OF-CONFIGURATION
    wait_for listens "$1"
    cat >muttrc <<END
set smtp_url = "smtps://tim@localhost:$1/"
set smtp_pass = "pencil"
set ssl_ca_certificates_file = /tmp/certificate
set certificate_file = /tmp/certificate
set from = tim@here.test
set copy = no
$2
END
    : >"$1.log"
    echo hi | timeout 20 mutt -F muttrc -s hi you@far.test >/dev/null 2>&1 || true
    paste -sd';' "$1.log"
}
echo
must "offered: $PLUS" "$(by_mutt 1001 "")" "TLSv1.3 SCRAM-SHA-256-PLUS then *"
must "the same, with TLS 1.2" "$(by_mutt 1002 "")" "TLSv1.2 SCRAM-SHA-256-PLUS then *"
must "offered: SCRAM-SHA-256 PLAIN" "$(by_mutt 1003 "")" "TLSv1.3 SCRAM-SHA-256 then n,a=tim,n=tim"
must "all offered, smtp_authenticators = scram-sha-256" "$(by_mutt 1001 'set smtp_authenticators = "scram-sha-256"')" "TLSv1.3 SCRAM-SHA-256 then n,a=tim,n=tim"
