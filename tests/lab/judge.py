"""dkimpy for the tests: reads a request as JSON, writes the answer as JSON. Keys come from the lab's name server."""

import base64
import json
import random
import sys

import dkim
import dns.resolver
import nacl.signing


def dnsfunc(server, port):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = [server], port, 5
    known = {}

    def look_up(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        if name not in known:
            try:
                known[name] = b"".join(resolver.resolve(name, "TXT")[0].strings)
            except dns.exception.DNSException:
                known[name] = None
        return known[name]

    return look_up


def checked(message, look_up):
    """Each signature, from the top: domain, selector, algorithm, and whether it holds."""
    verifier = dkim.DKIM(message, minkey=1024)
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)
    results = []
    for index in range(count):
        verifier = dkim.DKIM(message, minkey=1024)
        try:
            holds, reason = verifier.verify(idx=index, dnsfunc=look_up), ""
        except dkim.DKIMException as error:
            holds, reason = False, str(error)
        fields = {k.decode(): v.decode() for k, v in verifier.signature_fields.items()}
        results.append({"d": fields.get("d"), "s": fields.get("s"), "a": fields.get("a"), "holds": holds, "reason": reason})
    return results


def arc_checked(message, look_up):
    """The result of the ARC chain, and its domains from the newest."""
    cv, results, reason = dkim.ARC(message, minkey=1024).verify(dnsfunc=look_up)
    return {"cv": cv.decode() if cv else None, "domains": [result["as-domain"].decode() for result in results], "reason": str(reason)}


def arc_sealed(message, order):
    """The fields of the next ARC set, by dkimpy for the server `server_id`, whose Authentication-Results the message has."""
    fields = dkim.ARC(message).sign(
        order["selector"].encode(), order["domain"].encode(), order["rsa"].encode(), order["server_id"].encode(), include_headers=[b"from", b"subject", b"date", b"message-id"]
    )
    return b"".join(fields)


ODD_BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b" \r\n\t\r\n",
    b"hello\r\n",
    b"trailing  \t \r\n\r\n \r\n\r\n",
    b"  leading\r\n\tand\t\ttabs  between \r\n",
    b".\r\n..\r\n...dots\r\n",
    b"x" * 998 + b"\r\n",
    bytes(range(0x80, 0x100)) + b"\r\n",
    "gr\u00fc\u00dfe \u2713\r\n".encode(),
    b"From here\r\n>From there\r\n",
    b"--b\r\nContent-Type: text/plain\r\n\r\npart\r\n--b--\r\n\r\nepilogue\r\n",
]
ODD_FIELDS = [
    b"SUBJECT:no space\r\n",
    b"subject: \t many   spaces \t\r\n",
    b"Subject: folded\r\n\tonce\r\n  and  twice \r\n",
    b"Subject:\r\n on the next line\r\n",
    b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n",
    "Subject: raw gr\u00fc\u00dfe\r\n".encode(),
    b"Subject:\r\n",
    b"To: me@example.test,\r\n\t\"You, there\" <you@example.test>\r\n",
    b"tO:  me@example.test  (a comment: with a colon)\r\n",
    b"Cc: undisclosed-recipients:;\r\n",
    b"X-Odd: one\r\nX-Odd: two\r\nx-odd:three\r\n",
    b"X-Long: " + b"word " * 150 + b"\r\n",
    b"X-Colons: a:b:c; d=e; \"q;\"\r\n",
    b"Date: Tue, 24 Nov 2026 09:00:00 +0000\r\n",
    b"MIME-Version: 1.0 (odd)\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"b\"\r\n",
    b"Received: from a (b [192.0.2.1])\r\n\tby c; Tue, 24 Nov 2026 09:00:00 +0000\r\n",
    b"Reply-To: her@foreign.test\r\n",
    b"List-Unsubscribe: <mailto:off@foreign.test>,\r\n <https://foreign.test/off?x=1>\r\n",
]


def odd(dice, number, once):
    """A message with formatting that is legal and that a careless program would tidy up. `once`: no field of a mailer stands twice."""
    fields = dice.sample(ODD_FIELDS, dice.randint(0, 9))
    if once:
        fields = list({field.split(b":")[0].lower(): field for field in fields}.values())
    author = [b"From: her@foreign.test\r\n", b"from:\tHer  Name\r\n <her@foreign.test> \r\n", b'FROM: "a: b" <her@foreign.test>\r\n']
    fields.insert(dice.randint(0, len(fields)), dice.choice(author))
    fields.insert(dice.randint(0, len(fields)), b"Message-ID: <odd.%d@foreign.test>\r\n" % number)
    body = b"".join(dice.sample(ODD_BODIES, dice.randint(1, 4)))
    return b"".join(fields) + b"\r\n" + body


def changed(dice, message):
    """The message, changed a little: with or without meaning to a signature."""
    head, body = message.split(b"\r\n\r\n", 1)
    choice = dice.randint(0, 8)
    if choice == 0:
        return b"X-New: field\r\n" + message
    if choice == 1:
        return message + b"\r\n\r\n"
    if choice == 2:
        return message + b"more\r\n"
    if choice == 3:
        return head + b"\r\n\r\n" + body.replace(b" ", b"  ")
    if choice == 4:
        return head + b"\r\n\r\n" + body.replace(b"\r\n", b" \r\n", 1)
    if choice == 5:
        return head.replace(b"ubject:", b"ubject:  ") + b"\r\n\r\n" + body
    if choice == 6:
        return head.replace(b"her@foreign.test", b"him@foreign.test") + b"\r\n\r\n" + body
    if choice == 7:
        return head.replace(b"b=", b"b= ", 1) + b"\r\n\r\n" + body
    return head + b"\r\nSubject: one more\r\n\r\n" + body


def generated(order):
    """Odd messages: unsigned, signed, and signed ones that were changed after."""
    dice = random.Random(order["seed"])
    ed25519 = nacl.signing.SigningKey(bytes(range(32)))
    keys = {"rsa-sha256": (b"r", order["rsa"].encode()), "ed25519-sha256": (b"e", base64.b64encode(bytes(ed25519)))}
    answer = {"unsigned": [], "signed": [], "changed": [], "ed25519": base64.b64encode(bytes(ed25519.verify_key)).decode()}
    for number in range(order["count"]):
        message = odd(dice, number, order["once"])
        algorithm = dice.choice(sorted(keys))
        selector, key = keys[algorithm]
        how = (dice.choice([b"simple", b"relaxed"]), dice.choice([b"simple", b"relaxed"]))
        field = dkim.sign(message, selector, b"foreign.test", key, canonicalize=how, signature_algorithm=algorithm.encode())
        for name, text in [("unsigned", message), ("signed", field + message), ("changed", changed(dice, field + message))]:
            answer[name].append(base64.b64encode(text).decode())
    return answer


request = json.load(sys.stdin)
if request["do"] == "verify":
    look_up = dnsfunc(request["server"], request["port"])
    answer = [checked(base64.b64decode(message), look_up) for message in request["messages"]]
elif request["do"] == "arc":
    look_up = dnsfunc(request["server"], request["port"])
    answer = [arc_checked(base64.b64decode(message), look_up) for message in request["messages"]]
elif request["do"] == "seal":
    messages = [base64.b64decode(message) for message in request["messages"]]
    answer = [base64.b64encode(arc_sealed(message, request) + message).decode() for message in messages]
else:
    answer = generated(request)
json.dump(answer, sys.stdout)
