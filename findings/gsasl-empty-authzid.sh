#!/usr/bin/env bash
# gsasl sends an empty authorization identity in SCRAM as `a=`, which the grammar does not allow; in PLAIN it means "none".
#
# Guess: `gsasl --authorization-id ""` means the same in every mechanism: no authorization identity, so SCRAM begins with `n,,`.
# What happens: gsasl 2.2.0 writes `n,a=,n=tim`. RFC 5801 s.4 has `a=` only with a name of at least one character. Without the option it writes
# `n,,n=tim`. In PLAIN both give the same octets.
# Where it matters: a server that parses strictly refuses a right password, with SCRAM only.
# Waypost: refuses it as malformed; leave the option out.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box gsasl=2.2.0-1+deb12u2 libgsasl18=2.2.0-1+deb12u2

cat >server.py <<'END'
"""Shows the client's first message, up to the nonce, and refuses the login."""
import base64, socketserver


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        def say(text):
            self.wfile.write(text.encode() + b"\r\n")

        say("220 far.test ESMTP")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            if line.startswith("EHLO"):
                say("250-far.test\r\n250 AUTH SCRAM-SHA-256 PLAIN")
            elif line.startswith("AUTH"):
                words = line.split()
                first = words[2] if len(words) > 2 else (say("334 "), self.rfile.readline().decode().strip())[1]
                print(base64.b64decode(first).split(b",r=")[0].decode().replace("\0", "|"), flush=True)
                say("535 5.7.8 no")
            else:
                say("250 ok")


socketserver.ThreadingTCPServer(("127.0.0.1", 2501), Session).serve_forever()
END
/usr/bin/python3 server.py >>log &
wait_for listens 2501
by_gsasl() { # MECHANISM OPTION...
    : >log
    timeout 10 gsasl --smtp --no-starttls --connect=127.0.0.1:2501 --no-cb -m "$1" -a tim -p pencil "${@:2}" </dev/null >/dev/null 2>&1 || true
    cat log
}
echo
must "PLAIN:" "$(by_gsasl PLAIN)" "|tim|pencil"
must "PLAIN, --authorization-id \"\":" "$(by_gsasl PLAIN --authorization-id "")" "|tim|pencil"
must "SCRAM-SHA-256:" "$(by_gsasl SCRAM-SHA-256)" "n,,n=tim"
must "SCRAM-SHA-256, --authorization-id \"\":" "$(by_gsasl SCRAM-SHA-256 --authorization-id "")" "n,a=,n=tim"
