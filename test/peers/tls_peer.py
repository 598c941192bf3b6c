#!/usr/bin/python3
"""A peer on loopback that speaks TLS, for the tests.

usage: tls_peer.py DIR starttls|smtps|https CERT KEY [MECHANISMS]

Writes the port it listens on to DIR/port and, for each mail or request that it
accepted, a line to DIR/accepted: how the connection was secured, how and as
whom the client authenticated, and the mail's recipient or the request's path.
DIR/auth, when there, holds user and password, a line each; a wrong password is
repeated in the refusal, as careless servers do.
"""
import base64
import os
import socketserver
import ssl
import sys

folder, mode, cert, key = sys.argv[1:5]
mechanisms = sys.argv[5] if len(sys.argv) > 5 else "PLAIN LOGIN"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)


def accepted(*fields):
    with open(os.path.join(folder, "accepted"), "a", encoding="utf-8") as f:
        f.write("\t".join(fields) + "\n")


def credentials():
    try:
        with open(os.path.join(folder, "auth"), encoding="utf-8") as f:
            return f.read().split("\n")[:2]
    except FileNotFoundError:
        return None


class Mail(socketserver.StreamRequestHandler):
    def setup(self):
        self.secured = "plain"
        if mode == "smtps":
            self.request = context.wrap_socket(self.request, server_side=True)
            self.secured = self.request.version()
        super().setup()

    def say(self, text):
        self.wfile.write((text + "\r\n").encode())
        self.wfile.flush()

    def line(self):
        return self.rfile.readline().decode("utf-8", "replace").rstrip("\r\n")

    def ask(self, prompt):
        self.say("334 " + base64.b64encode(prompt.encode()).decode())
        return base64.b64decode(self.line()).decode()

    def authenticate(self, argument):
        mechanism, _, initial = argument.partition(" ")
        if mechanism == "PLAIN":
            text = base64.b64decode(initial).decode() if initial else self.ask("")
            _, user, password = text.split("\0")
        elif mechanism == "LOGIN":
            user = base64.b64decode(initial).decode() if initial else self.ask("Username:")
            password = self.ask("Password:")
        else:
            self.say("504 what?")
            return None
        if mechanism not in mechanisms.split() or [user, password] != credentials():
            self.say("535 5.7.8 %s is not the password of %s" % (password, user))
            return None
        self.say("235 2.7.0 welcome")
        return mechanism + " " + user

    def handle(self):
        login = "nobody"
        recipient = ""
        self.say("220 peer ESMTP")
        while True:
            line = self.line()
            verb = line[:4].upper()
            if not line or verb == "QUIT":
                return
            if verb in ("EHLO", "HELO"):
                offers = ["peer"]
                if self.secured == "plain":
                    offers.append("STARTTLS")
                elif credentials():
                    offers.append("AUTH " + mechanisms)
                for i, offer in enumerate(offers):
                    self.say("250%s%s" % ("-" if i + 1 < len(offers) else " ", offer))
            elif verb == "STAR":
                self.say("220 go ahead")
                self.request = context.wrap_socket(self.request, server_side=True)
                self.secured = self.request.version()
                self.rfile = self.request.makefile("rb")
                self.wfile = self.request.makefile("wb")
            elif verb == "AUTH":
                login = self.authenticate(line[5:]) or login
            elif verb == "MAIL" and credentials() and login == "nobody":
                self.say("530 5.7.0 authenticate first")
            elif verb == "RCPT":
                recipient = line[8:]
                self.say("250 ok")
            elif verb == "DATA":
                self.say("354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                accepted(self.secured, login, recipient)
                self.say("250 accepted")
            else:
                self.say("250 ok")


class Web(socketserver.StreamRequestHandler):
    def setup(self):
        self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        while True:
            first = self.rfile.readline().decode().split()
            if not first:
                return
            length = 0
            login = "nobody"
            for raw in iter(self.rfile.readline, b"\r\n"):
                name, _, value = raw.decode("utf-8", "replace").partition(":")
                if name.lower() == "content-length":
                    length = int(value)
                if name.lower() == "authorization":
                    login = value.strip()
            self.rfile.read(length)
            user = credentials()
            want = user and "Basic " + base64.b64encode(":".join(user).encode()).decode()
            if user and login != want:
                body = "not allowed: " + login
                status = "401 Unauthorized"
            else:
                accepted(self.request.version(), "BASIC " + user[0] if user else login, first[1])
                body = "{}"
                status = "200 OK"
            self.wfile.write(("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)).encode())


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Web if mode == "https" else Mail)
with open(os.path.join(folder, "port.tmp"), "w", encoding="utf-8") as f:
    f.write("%d\n" % server.server_address[1])
os.rename(os.path.join(folder, "port.tmp"), os.path.join(folder, "port"))
server.serve_forever()
