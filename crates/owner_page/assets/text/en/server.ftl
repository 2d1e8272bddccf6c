# The server: what is in force.

server-sentence = { $host } runs Waypost { $version }.
server-little-space = The disk is nearly full. A full disk refuses all mail; free some space, or move the data directory.
server-machine = Server
server-name = Name
server-forwarding = Forwards under
server-version = Version
server-disk = Disk
server-disk-free = { $free } free of { $all }
server-databases = Databases
server-listeners = Listens on
server-listener-mx = Mail from other servers
server-listener-submission = Sending, STARTTLS
server-listener-submissions = Sending, TLS
server-listener-certificate = Sending, client certificate
server-listener-http = HTTP
server-listener-https = HTTPS
server-certificates = Certificates
server-no-certificate = No certificate: mail programs refuse to connect.
server-no-certificate-next = Set enabled = true under [acme] in the configuration, then reload it.
server-certificate-names = Names
server-certificate-issuer = Issuer
server-certificate-until = Valid until
server-expired = expired
server-self-signed = self-signed
server-days-left =
    { $n ->
        [one] { $n } day left
       *[other] { $n } days left
    }
server-renew = Renew
server-renewing = The authority is still working on it; look again in a minute.
server-order-failed = The authority refused the order for { $name }:
server-order-next = Next attempt { $when }.
server-left-out =
    { $n ->
        [one] { $n } name does not lead here and is left out
       *[other] { $n } names do not lead here and are left out
    }
server-backup = Backup
server-backup-words = Everything is in { $dir } and { $file }.
server-backup-how = Copy both while the server is stopped, or take a snapshot of the file system while it runs. Keep the copy as safe as the server: it contains private keys.
server-settings = Settings in force
server-settings-words =
    { $n ->
        [one] { $file } sets { $n } option; the others have their defaults.
       *[other] { $file } sets { $n } options; the others have their defaults.
    }
server-settings-all = Show all with their meanings
server-settings-file = Show only what the file sets
server-settings-top = Top of the file
server-setting-none = not set
server-setting-default = default
server-reload = Read the file again
server-changes = Changes
server-no-changes = Nothing has been changed since the history began.
server-change-when = When
server-change-what = What
server-change-who = Who
server-tokens = API tokens
server-tokens-words = For programs that use the API over HTTPS, and for password managers that make aliases.
server-no-tokens = No program has a token.
server-token = Token
server-token-new = New token
server-token-name = Name
server-token-hint = The program or device that will use it, such as Bitwarden.
server-token-scopes = May
server-token-until = ends { $when }
server-token-make = Make token
server-token-made = Ready. The token is shown only this once:
server-token-removed = The token “{ $name }” is removed: programs that use it are refused.
server-scope-aliases = see and change aliases
server-scope-read = read everything except secrets
server-scope-queue = see and change queue and held mail
server-scope-admin = do everything
