# The list of mail.

mail-search = Address, ID, host, IP or words of a reply
mail-all = All
mail-refused = Refused
mail-held = Held
mail-waiting = Waiting
mail-failed = Failed
mail-none = No mail yet. Send a message to one of your addresses, and it appears here within a second.
mail-none-next = Check what remains to be set up
mail-none-such = Nothing of this kind.
mail-none-found = Nothing was found. A clue is an address or a domain, a queue ID, a Message-ID, a host, an IP address, or words of a reply.
mail-show-all = Show all mail
filters = Filters
column-time = Time
column-from = From
column-to = To
column-result = Result
column-reason = Reason
column-act = Actions
null-sender = none: a notification
and-others =
    { $n ->
        [one] and 1 more
       *[other] and { $n } more
    }
next-attempt = next attempt
expires = given up
