"""The far end of SMTP for the findings: accepts mail, or gives a configured reply to one command.

    sink.py PORT FOLDER [BEGINNING REPLY]...

Each REPLY answers the lines with that BEGINNING; GREETING and END (of data, but of no report) count as lines. FOLDER gets `log`, all lines of all
sessions without content, and N.eml for each message, with its envelope in N.env.
"""
import pathlib
import socketserver
import sys
import threading

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
told = dict(zip(sys.argv[3::2], sys.argv[4::2]))
folder.mkdir(parents=True, exist_ok=True)
lock = threading.Lock()
taken = 0


class Session(socketserver.StreamRequestHandler):
    timeout = 60

    def note(self, text):
        with lock, open(folder / "log", "a", encoding="latin-1") as log:
            log.write(text + "\n")

    def say(self, line, reply):
        reply = next((other for beginning, other in told.items() if line.upper().startswith(beginning.upper())), reply)
        self.note("S: " + reply.replace("\r\n", " / "))
        self.wfile.write((reply + "\r\n").encode())
        return reply

    def handle(self):
        try:
            self.talk()
        except ConnectionError:
            self.note("the client is gone")

    def talk(self):
        global taken
        self.say("GREETING", "220 sink.test ESMTP")
        envelope = []
        while line := self.rfile.readline():
            text = line.decode("latin-1").rstrip("\r\n")
            self.note("C: " + text)
            verb = text.split(" ")[0].upper()
            if verb == "EHLO":
                self.say(text, "250-sink.test\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 PIPELINING")
            elif verb == "DATA":
                if not any(line.upper().startswith("RCPT") for line in envelope):
                    self.say(text, "503 5.5.1 no recipient")
                    continue
                if not self.say(text, "354 go on").startswith("354"):
                    continue
                content = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    content += line[1:] if line.startswith(b".") else line
                with lock:
                    taken += 1
                    (folder / f"{taken}.env").write_text("\n".join(envelope) + "\n", encoding="latin-1")
                    (folder / f"{taken}.eml").write_bytes(content)
                self.say("END" if "<>" not in envelope[0] else "REPORT", "250 2.0.0 taken")
                envelope = []
            elif verb == "QUIT":
                self.say(text, "221 2.0.0 bye")
                return
            else:
                if verb in ("MAIL", "RSET"):
                    envelope = []
                if self.say(text, "250 2.0.0 ok").startswith("2") and verb in ("MAIL", "RCPT"):
                    envelope.append(text)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", port), Session).serve_forever()
