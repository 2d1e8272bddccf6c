# Held and refused mail.

held-title = Held and refused
held-none = Nothing is held.
held-none-next = Mail that is doubtful but not clearly bad waits here for you.
held-sentence =
    { $more ->
        [0] { $n ->
            [one] 1 message waits for you to release or drop it.
           *[other] { $n } messages wait for you to release or drop them.
        }
       *[other] More than { $n } messages wait for you to release or drop them.
    }
held-sender = Sender
held-why = Held because
held-kept = Kept
held-since = since
held-until = deleted
held-hint = As an attachment it arrives as a message of this server, so the target does not refuse it.
no-subject = (no subject)
held-refused = Refused in the last 30 days
held-none-refused = Nothing was refused in the last 30 days.
