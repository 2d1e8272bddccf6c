#!/usr/bin/env bash
# spamass-milter disconnects from an MTA that does not let it replace bodies, although it would only add fields; with -m it stays.
#
# Guess: a milter that is offered less does less: it requests what it can get, and marks mail by fields only.
# What happens: spamass-milter 0.4.0 requests ADDHDRS, CHGHDRS and CHGBODY (0x13), and if one of the three is not offered, libmilter 8.17 closes the connection
# without a reply. So an MTA that keeps bodies unchanged cannot use it at all. With `-m`, by which it leaves Subject, Content-Type and the body alone, it
# requests ADDHDRS and CHGHDRS (0x11) and stays.
# Where it matters: an MTA sees only a filter that disconnects at each message, and depending on its settings accepts all mail or none.
# Waypost: offers CHGBODY, so that this milter stays, and ignores the change.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box spamass-milter=0.4.0-2 libmilter1.0.1=8.17.1.9-2+deb12u2

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
spamass-milter -p /tmp/usual 2>/dev/null &
spamass-milter -m -p /tmp/modest 2>/dev/null &
wait_for test -S usual
wait_for test -S modest
offered() { /usr/bin/python3 offer.py "/tmp/$1" "$2"; }
echo
must "offered all (0x1ff):" "$(offered usual 1ff)" "uses 0x13"
must "offered all but CHGBODY (0x1fd):" "$(offered usual 1fd)" "disconnects"
must "with -m, offered all:" "$(offered modest 1ff)" "uses 0x11"
must "with -m, offered all but CHGBODY:" "$(offered modest 1fd)" "uses 0x11"
