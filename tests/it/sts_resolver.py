"""What postfix-mta-sts-resolver makes of a domain's policy: its own lookup, fetch and checks, with the lab's name server and port.

Arguments: name server, its port, domain, our address, our HTTPS port. The authority is in SSL_CERT_FILE. Prints JSON.
"""

import asyncio
import json
import socket
import sys

import aiodns
import aiohttp.connector
from postfix_mta_sts_resolver.resolver import STSResolver

server, server_port, domain, address, port = sys.argv[1:]


class Here(aiohttp.abc.AbstractResolver):
    async def resolve(self, host, _port=0, family=socket.AF_INET):
        found = {"hostname": host, "host": address, "port": int(port)}
        return [{**found, "family": socket.AF_INET, "proto": 0, "flags": socket.AI_NUMERICHOST}]

    async def close(self):
        pass


aiohttp.connector.DefaultResolver = lambda *_, **__: Here()


async def main():
    resolver = STSResolver(loop=asyncio.get_running_loop())
    ports = {"udp_port": int(server_port), "tcp_port": int(server_port)}
    resolver._resolver = aiodns.DNSResolver(nameservers=[server], timeout=5, **ports)
    result, found = await resolver.resolve(domain)
    print(json.dumps([result.name, found]))


asyncio.run(main())
