#!/usr/bin/env bash
# curl answers an empty challenge with "=", the sign for an empty initial response, which is not valid Base64.
#
# Guess: after `AUTH EXTERNAL` and the server's `334 `, a client with an empty response sends an empty line (RFC 4954 s.4: "=" replaces only an
# initial response in the AUTH command).
# What happens: curl 7.88.1, with an empty user name, sends "=" in both cases. With a name, both cases are Base64.
# Where it matters: a server that decodes strictly answers 501, and the login by client certificate fails; with --sasl-ir it works.
# Waypost: accepts "=" as an empty response.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box curl=7.88.1-10+deb12u15 libcurl4=7.88.1-10+deb12u15

cat >server.py <<'END'
"""Offers EXTERNAL, and shows how the client responds."""
import socketserver


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        def say(text):
            self.wfile.write(text.encode() + b"\r\n")

        say("220 far.test ESMTP")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            if line.startswith("EHLO"):
                say("250-far.test\r\n250 AUTH EXTERNAL")
            elif line.startswith("AUTH"):
                shown = line
                if line == "AUTH EXTERNAL":
                    say("334 ")
                    shown += ", 334, " + (self.rfile.readline().decode().rstrip("\r\n") or "an empty line")
                print(shown, flush=True)
                say("235 2.7.0 ok")
            else:
                say("250 ok")


socketserver.ThreadingTCPServer(("127.0.0.1", 2501), Session).serve_forever()
END
/usr/bin/python3 server.py >>log &
wait_for listens 2501
by_curl() { # USER OPTION...
    : >log
    curl -sS --max-time 10 --url smtp://127.0.0.1:2501 --login-options AUTH=EXTERNAL --user "$1" "${@:2}" >/dev/null
    cat log
}
echo
must "empty name, with an initial response:" "$(by_curl ":" --sasl-ir)" "AUTH EXTERNAL ="
must "empty name, without one:" "$(by_curl ":")" "AUTH EXTERNAL, 334, ="
must "name \"me\", with an initial response:" "$(by_curl "me:" --sasl-ir)" "AUTH EXTERNAL bWU="
must "name \"me\", without one:" "$(by_curl "me:")" "AUTH EXTERNAL, 334, bWU="
