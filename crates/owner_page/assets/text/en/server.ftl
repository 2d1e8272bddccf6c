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
server-nodes = Nodes
server-nodes-words = These servers share one database. A drained one answers new mail with “try again later”, ends the deliveries that it has begun, and leaves the others to the other nodes.
server-node-name = Node
server-node-this = this one
server-node-started = Running since
server-node-seen = Last seen
server-node-claimed = Delivering
server-node-change = Change
server-node-active = active
server-node-drained = drained
server-node-stopped = stopped
server-node-stopped-drained = stopped, and drained
server-node-drain = Drain
server-node-resume = Resume
server-node-now-drained = Node “{ $name }” stops taking new mail within 5 seconds. It stays so after a restart, until it is resumed.
server-node-now-resumed = Node “{ $name }” takes new mail again.
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
server-backup-shared-words = Mail, accounts and aliases are in the database that [store] names. Certificates and the key of passwords are in { $dir }, the configuration is in { $file }.
server-backup-shared-how = “waypost backup” copies all of it while the server runs. Keep the copy as safe as the server: it contains private keys.
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
