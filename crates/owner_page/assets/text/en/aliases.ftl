# Aliases, and words for changes that several screens use.

save = Save
saved = Saved.

aliases-sentence =
    { $n ->
        [0] No aliases yet.
        [one] { $n } alias.
       *[other] { $n } aliases.
    }
aliases-found =
    { $n ->
        [0] No alias fits.
        [one] { $n } alias fits.
       *[other] { $n } aliases fit.
    }
aliases-search = Address, target or note
aliases-domains = Domains
aliases-all-domains = All domains
aliases-none-found = No address, target or note contains this.
aliases-show-all = Show all aliases
aliases-no-domain = No domain is hosted here yet, so there is nothing to forward.
aliases-first-domain = Set up the first domain
aliases-none = Add the first: where should { $address } go?
aliases-none-own = No alias leads to you. An owner of the server can add one.

aliases-address = Address
aliases-target = Goes to
aliases-note = Note
aliases-last = Last mail
aliases-state = State
aliases-today = Today
aliases-week = 7 days
aliases-month = 30 days
aliases-on = on
aliases-off = off
aliases-invalid = invalid
aliases-switch-on = Switch on
aliases-switch-off = Switch off
aliases-is-on = { $address } is on: its mail is forwarded.
aliases-is-off = { $address } is off: mail to it is refused.
aliases-more-targets =
    { $n ->
        [one] and { $n } more
       *[other] and { $n } more
    }

aliases-add = Add an alias
aliases-add-button = Add alias
aliases-add-anyway = Add it anyway
aliases-save-anyway = Save it anyway
aliases-added = { $address } is on: its mail is forwarded.
aliases-domain = Domain
aliases-address-hint = The part before @. Nothing before it takes every address that has no alias of its own.
aliases-target-hint = One address, or several with spaces between them.
aliases-note-hint = What it is for; only shown here.
aliases-doubt = Mail to such an address gets lost or reaches strangers. Correct it, or insist.
aliases-throwaway = New throw-away address
aliases-throwaway-nowhere = A throw-away address needs a place to go to, and no alias leads anywhere yet.
aliases-throwaway-hint = Add one alias first; the next throw-away address goes to the same mailbox.
aliases-made = Ready to be given away:
aliases-made-note = Note what it is for

aliases-sentence-one = Mail goes to { $target }.
aliases-sentence-many =
    { $n ->
        [one] Mail goes to { $target } and { $n } other address.
       *[other] Mail goes to { $target } and { $n } other addresses.
    }
aliases-sentence-off = Switched off: mail to it is refused.
aliases-sentence-nowhere = Mail to it is refused, since no target can take it.
aliases-its-mail = Its mail
aliases-paused = { $target } has asked for a pause; its senders are asked to try again. It ends { $until }.
aliases-way = Where its mail goes
aliases-arrives = Arrives at
aliases-origin = Defined
aliases-origin-file = in the virtual file
aliases-change-file = It is defined in the virtual file; change it there, which takes effect at once.
aliases-use = Who writes to it
aliases-unused = No mail has come to it yet.
aliases-accepted =
    { $n ->
        [one] { $n } message
       *[other] { $n } messages
    }
aliases-refused = { $n } refused
aliases-first-sender = First sender
aliases-last-sender = Last sender

aliases-senders = Senders blocked or always let through
aliases-blocked = Refuse mail of
aliases-allowed = Never hold mail of
aliases-senders-hint = Addresses, or @ and a domain, with spaces between them.
aliases-change-target = Send it elsewhere
aliases-moved = Mail to { $address } takes its new way.
aliases-strict = Mail that would fail DMARC once forwarded
aliases-strict-words = Some senders, banks above all, forbid others to pass on their mail and do not sign it. Their mail fails at the target.
aliases-strict-label = What to do with it
aliases-strict-default = As the configuration says
aliases-strict-as-is = Forward it unchanged
aliases-strict-rewrite = Forward it; rewrite its sender if the target refuses it
aliases-strict-wrap = Wrap it into a message of this server
aliases-strict-hold = Hold it
aliases-strict-reject = Refuse it
aliases-remove = Remove it
aliases-remove-words = Mail to { $address } will be refused from then on. Its note and its settings go with it; what happened to its mail stays in the history. You can undo it right afterwards.
aliases-remove-button = Remove alias
aliases-removed = { $address } is removed: mail to it is refused.
aliases-restored = { $address } is back.
