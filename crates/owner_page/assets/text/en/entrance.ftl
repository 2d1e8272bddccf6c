# The entrance: login, second step, one-time links, invitation, the visitor's own login.

login-title = Log in
login-address = Address
login-password = Password
login-password-hint = One of those with which this account sends mail.
login-submit = Log in
login-first = The first time? { $command } on the server prints a link that logs you in.
login-wrong = Address or password are wrong, or this account may not log in.
login-too-many = Too many failed attempts. Try again in ten minutes.
login-busy = The server is checking many logins. Try again in a minute.

code-title = Second step
code-code = Code
code-hint = Six digits from your authenticator app, or a recovery code.
code-lost = Without app and recovery codes, remove the second step on the server: { $command }
code-wrong = This code is wrong, or was used before. Wait for the next one.

link-title = One-time link
link-who = This link logs in { $login }. It works once.
link-operator = the operator, to set up this server
link-open = Open the page
link-ended = This link was used before, or its time is over.
link-new = A new one, on the server: { $command }

invitation-title = Welcome
invitation-who = You are invited to use { $login }. It needs a password.
invitation-choose = Choose a password
invitation-password-hint = At least 8 characters. Your mail program remembers it, so it may be long.
invitation-again = The same again
invitation-set = Use this password
invitation-or = Or let the server make one
invitation-generate-hint = A random one is safest. It is shown once: copy it into your mail program.
invitation-generate = Make a password
invitation-differ = The two passwords differ.
invitation-ended = This invitation was used before, or its time is over.
invitation-new = Ask whoever sent it for a new one.
invitation-done = Your account works
invitation-works = You can send mail now.
invitation-program = For your mail program
invitation-program-hint = Most programs find all but the password by the address alone. If yours asks, enter this for outgoing mail:
invitation-once = (shown only now)
invitation-yours = the one you have chosen
invitation-server = Server (SMTP)
invitation-port = Port
invitation-port-tls = { $port } with SSL/TLS
invitation-port-starttls = { $port } with STARTTLS
invitation-page = See your aliases and passwords

confirm-title = Is it still you?
confirm-why = You are about to change who gets in. Your login is a while ago, so enter one of your passwords again.
confirm-submit = Confirm
confirm-passkey = Confirm with a passkey
confirm-wrong = This is none of the passwords of this account.
confirm-operator = This change needs a fresh login. Get a new link on the server: { $command }

account-title = Your login
account-second-step = Second step
account-on = On
account-recovery-left =
    { $n ->
        [0] No recovery code is left: set it up again.
        [one] One recovery code is left.
       *[other] { $n } recovery codes are left.
    }
account-off = The password alone opens this page. With an authenticator app on your phone, a stolen password is not enough.
account-set-up = Set up
account-remove = Turn off
account-no-app = An authenticator app works too, on devices that have no passkey.
passkey-title = Passkeys
passkey-hint = A passkey on your phone, computer or security key opens this page, with or without the password. It cannot be guessed, and no other site can ask for it.
passkey-name = Name
passkey-name-hint = To know it in this list: “phone”, “blue key”.
passkey-add = Add a passkey
passkey-added = The passkey is added
passkey-made = Added
passkey-unused = not yet
passkey-remove = Remove
passkey-removed = The passkey is removed. Delete it on the device too.
passkey-log-in = Log in with a passkey
passkey-again = Try again
passkey-no-answer = There was no answer. Is there a passkey for this page on the device? Try again, or use another way.
passkey-needs-script = Passkeys need JavaScript.
passkey-needs-name = Passkeys work under a name only: open this page as { $host }, or behind an SSH tunnel as localhost.
passkey-late = This page was open for too long, or was used before.
passkey-wrong = The passkey was not accepted.
passkey-too-many = This passkey is known already, or there are too many.
passkey-copied = This passkey was refused: another device seems to have a copy of it. Log in another way, remove the passkey, and add a new one.
account-sessions = Where you are logged in
account-browser = Browser
account-address = Address at login
account-used = Last used
account-end = Log out
account-this = This one
account-end-others = Log out everywhere else
account-ended =
    { $n ->
        [0] Nothing was logged in elsewhere.
        [one] Logged out there.
       *[other] Logged out in { $n } places.
    }

second-step-title = Set up the second step
second-step-scan = 1. Scan this with your authenticator app
second-step-scan-hint = Any app for time-based codes works: Aegis, 2FAS, Google Authenticator, a password manager.
second-step-picture = QR code with the secret below
second-step-secret = Or type the secret:
second-step-confirm = 2. Enter the code that the app shows
second-step-turn-on = Turn on
second-step-on = The second step is on
second-step-recovery = Recovery codes
second-step-recovery-hint = Each works once in place of a code, if the phone is lost. Print them, or keep them in a password manager: they are not shown again.
second-step-done = I have kept them
second-step-removed = The second step is off. The password alone opens this page.

entrance-refused = Not accepted
entrance-foreign = This form was not sent by a page of this server.
entrance-foreign-hint = Open the page itself and try again there. Programs use the API with a token.
entrance-token = This form is out of date, or not yours.
entrance-token-hint = Go back, load the page again, and repeat what you did.
entrance-not-there = There is nothing here for you.
