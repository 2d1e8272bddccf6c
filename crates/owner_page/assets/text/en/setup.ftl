# Setting up: records, ports, a test message each way, Gmail's form.

setup-sentence-done =
    { $n ->
        [one] The needed record is in DNS.
       *[other] All { $n } needed records are in DNS.
    }
setup-sentence-open = { $right } of { $n } needed records are in DNS.
setup-sentence-unknown =
    { $n ->
        [one] One record is needed. Publish it, then check.
       *[other] { $n } records are needed. Publish them, then check.
    }
setup-records = 1. DNS records
setup-ports = 2. Ports and names
setup-test = 3. A test message each way
setup-gmail = 4. Send from Gmail under your address

setup-asked = DNS was asked { $when }.
setup-not-asked = DNS has not been asked yet.
setup-check = Check again
setup-zone = Download zone file
setup-needed = Needed now
setup-better = Better
setup-programs = For mail programs
setup-hoster = Set by the hoster of the address
setup-all-right =
    { $n ->
        [one] right
       *[other] all { $n } right
    }
setup-some-right = { $right } of { $n } right
setup-name = Name
setup-value = Value
setup-in-zone = in the zone { $zone }
setup-found = DNS has
setup-problem = Problem

setup-checked = The server checked itself { $when }.
setup-checking = It is checking now; look again in a minute.
setup-no-checks = The server has not checked itself yet. “Check again” above starts it.

setup-no-alias = { $domain } has no alias yet. Add one to try it with.
setup-in = From elsewhere to you
setup-in-words = From another mailbox, write to this address. It must arrive in the mailbox behind it.
setup-in-came = The last message came from { $from }, { $when }.
setup-in-waiting = Nothing has come yet.
setup-out = From here to you
setup-out-words = The server writes to { $address }. Look into the mailbox behind it, also into its spam folder.
setup-out-button = Send a test message
setup-out-sent = A test message to { $address } is on its way. This is its journey:

setup-gmail-words = Gmail can send mail under your address through this server. Copy these values into its form.
setup-gmail-show = Show
setup-gmail-path = Gmail: Settings, See all settings, Accounts and Import, Send mail as, Add another email address. Leave “Treat as an alias” checked.
setup-gmail-address = Email address
setup-gmail-server = SMTP Server
setup-gmail-port = Port, security
setup-gmail-user = Username
setup-gmail-password = Password
setup-gmail-password-words = One of this account's passwords.
setup-gmail-password-new = Make one for Gmail
setup-gmail-came = Gmail's code came { $when }:
setup-gmail-waiting = Gmail's code appears here as soon as it comes.
