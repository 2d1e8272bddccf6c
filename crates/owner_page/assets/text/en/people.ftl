# People: accounts, their passwords and what they may send.

people-sentence =
    { $n ->
        [0] Nobody can send through this server yet.
        [one] One person can send through this server.
       *[other] { $n } people can send through this server.
    }
people-sentence-suspended =
    { $n ->
        [one] One of them is not active.
       *[other] { $n } of them are not active.
    }
people-none = An account sends under its own address, from any mail program, with a password for each program.
people-login = Address
people-login-hint = The login, such as { $example }. Mail to it needs an alias of its own.
people-add = Add a person
people-invite = Invite by link
people-add-password = Make a password now
people-add-words = The link works once: the person chooses a password there. You need not know it.
people-clients = Passwords
people-last = Last login
people-active = active
people-suspended = suspended
people-disabled = disabled
people-password = Password
people-made = Ready. The password is shown only this once:
people-made-words = Enter it in the mail program now, or hand it over. If it is lost, make another.
people-done = Done

people-sentence-why = Suspended: { $why }
people-sentence-disabled = Disabled: it cannot log in.
people-sentence-last = Last login { $when }.
people-sentence-never = It has never logged in.
people-passwords = Passwords, one for each program
people-no-password = No password yet: nobody can log in.
people-client = Program
people-client-hint = Such as phone, laptop or Gmail. An old password of that name is replaced.
people-created = Made
people-used = Last used
people-unused = never
people-from = from
people-certificate = client certificate
people-imported = imported password
people-remove-words = The program that uses it cannot log in any more.
people-remove-password = Remove password
people-password-removed = The password “{ $name }” is removed.
people-new-password = New password
people-make-password = Make password

people-senders = May send as
people-own-addresses = Its own addresses
people-more-addresses = Further addresses
people-none-more = none
people-senders-hint = Addresses with spaces between them; @example.com for a whole domain, * for any.
people-change-senders = Change the further addresses
people-account = Account
people-new-link = New one-time link
people-link-words = The link lets the person choose a password, such as after the old one is forgotten.
people-link-made = A link for { $login }, shown only this once. Send it to the person:
people-link-until = It works once, and ends { $when }.
people-mail = Its mail
people-resume = Let it log in again
people-suspend = Suspend it
people-suspend-words = It can no longer log in or send. Its aliases go on forwarding.
people-suspend-why = Reason
people-suspend-hint = Shown here and in the log.
people-suspend-button = Suspend account
people-is-suspended = { $login } is suspended.
people-is-active = { $login } can log in again.
people-remove = Remove it
people-remove-account-words = { $login } can no longer log in, and its passwords go with it. Its aliases stay and go on forwarding. This cannot be undone; to stop it for a while, suspend it.
people-remove-button = Remove account
people-removed = { $login } is removed.
people-owner = owner
people-owner-make = Make an owner
people-owner-words = Owners see and change everything on this page: mail, aliases, people, the server.
people-owner-end = No longer an owner
people-owner-end-words = It then sees its own aliases and passwords only.
people-is-owner = { $login } is an owner.
people-is-no-owner = { $login } is no longer an owner.
