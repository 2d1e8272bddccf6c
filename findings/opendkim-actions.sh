#!/usr/bin/env bash
# OpenDKIM disconnects from an MTA that does not let it change header fields, even as a signer; with CaptureUnknownErrors also from one without quarantine.
#
# Guess: a milter requests the actions that it needs from those that the MTA offers: a signer needs only to add a field.
# What happens: OpenDKIM 2.11.0~beta2 requires ADDHDRS and CHGHDRS (0x11) in every mode, and with `CaptureUnknownErrors yes` QUARANTINE (0x20) too. If one
# of them is not offered, it closes the connection without a reply. Nothing else is required.
# Where it matters: an MTA that offers less, because it changes nothing, sees a filter that closes every connection without a reason.
# Waypost: offers all three, and ignores requested changes of fields.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box opendkim=2.11.0~beta2-8+deb12u1 libopendkim11=2.11.0~beta2-8+deb12u1 libmilter1.0.1=8.17.1.9-2+deb12u2

cat >offer.py <<'END'
"""An MTA's first packet: version 6, the actions of the second argument, every step. Shows the actions that the milter will use."""
import socket, struct, sys

mta = socket.socket(socket.AF_UNIX)
mta.settimeout(10)
mta.connect(sys.argv[1])
packet = b"O" + struct.pack(">III", 6, int(sys.argv[2], 16), 0x1FFFFF)
mta.sendall(struct.pack(">I", len(packet)) + packet)
answer = mta.recv(100)
print("uses " + hex(struct.unpack(">III", answer[5:17])[1]) if answer else "disconnects")
END
install -d -m 700 /run/signer
openssl genrsa -out /run/signer/key 2048 2>/dev/null
printf 'Mode v\nCaptureUnknownErrors yes\n' >/run/signer/capture.conf
opendkim -x /dev/null -f -b v -p local:/tmp/verifier 2>/dev/null &
opendkim -x /dev/null -f -b s -d here.test -s one -k /run/signer/key -p local:/tmp/signer 2>/dev/null &
opendkim -x /run/signer/capture.conf -f -p local:/tmp/capture 2>/dev/null &
for name in verifier signer capture; do
    wait_for test -S $name
done
offered() { /usr/bin/python3 offer.py "/tmp/$1" "$2"; }
echo
must "verifier, offered ADDHDRS, CHGHDRS (0x11):" "$(offered verifier 11)" "uses 0x11"
must "verifier, offered ADDHDRS (0x01):" "$(offered verifier 01)" "disconnects"
must "signer, offered 0x11:" "$(offered signer 11)" "uses 0x11"
must "signer, offered all but CHGHDRS (0x1ef):" "$(offered signer 1ef)" "disconnects"
must "CaptureUnknownErrors, offered 0x31:" "$(offered capture 31)" "uses 0x31"
must "CaptureUnknownErrors, all but QUARANTINE (0x1df):" "$(offered capture 1df)" "disconnects"
