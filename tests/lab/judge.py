"""dkimpy for the tests: reads a request as JSON, writes the answer as JSON. Keys come from the lab's name server."""

import base64
import json
import sys

import dkim
import dns.resolver


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


def signed(order):
    message = base64.b64decode(order["message"])
    head, body = (part.encode() for part in order["canonicalization"].split("/"))
    field = dkim.sign(
        message,
        order["selector"].encode(),
        order["domain"].encode(),
        order["key"].encode(),
        canonicalize=(head, body),
        signature_algorithm=order["algorithm"].encode(),
        include_headers=order.get("headers") and [name.encode() for name in order["headers"]],
    )
    return base64.b64encode(field + message).decode()


request = json.load(sys.stdin)
if request["do"] == "verify":
    look_up = dnsfunc(request["server"], request["port"])
    answer = [checked(base64.b64decode(message), look_up) for message in request["messages"]]
else:
    answer = [signed(order) for order in request["orders"]]
json.dump(answer, sys.stdout)
