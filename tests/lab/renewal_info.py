"""An ACME directory that says when to renew: pebble's own, with renewalInfo added. Arguments: address, port, pebble's directory, window."""

import http.server
import json
import ssl
import sys
import urllib.request
from datetime import datetime, timezone

address, port, directory, start, end = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/dir":
            trusted = ssl.create_default_context(cafile="root.pem")
            answer = json.load(urllib.request.urlopen(directory, context=trusted))
            answer["renewalInfo"] = f"https://{address}:{port}/renewal-info"
        elif self.path.startswith("/renewal-info/"):
            moment = lambda text: datetime.fromtimestamp(int(text), timezone.utc).isoformat().replace("+00:00", "Z")
            answer = {"suggestedWindow": {"start": moment(start), "end": moment(end)}}
        else:
            return self.send_error(404)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "21600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("cert.pem", "key.pem")
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
