"""pysrs for the tests: lines "forward ADDRESS" and "reverse ADDRESS"; the answer is a line each. Arguments: secret, domain."""

import base64
import sys

# It is of a time when this function had another name.
base64.encodestring = base64.encodebytes

import SRS  # noqa: E402

secret, domain = sys.argv[1:]
srs = SRS.new(secret=secret)
srs.warn = lambda *message: None
for line in sys.stdin:
    what, address = line.rstrip("\n").split(" ", 1)
    try:
        print(srs.forward(address, domain) if what == "forward" else srs.reverse(address))
    except (AssertionError, ValueError) as error:
        print("refused")
