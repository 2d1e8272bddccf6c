# The queue and pauses.

queue-title = Queue and pauses
queue-all-clear = Nothing waits, nothing is paused.
queue-waits =
    { $n ->
        [0] Nothing waits.
        [one] 1 recipient waits for its next attempt.
       *[other] { $n } recipients wait for their next attempt.
    }
queue-waits-paused =
    { $pauses ->
        [one] { $n } waiting; 1 mailbox or host is paused.
       *[other] { $n } waiting; { $pauses } mailboxes or hosts are paused.
    }
queue-pauses = Paused
paused = paused
paused-until = ends
resume = Resume now
queue-none = The queue is empty: every message has been delivered or has failed.
queue-none-next = What happened to each message
queue-lanes = Waiting, by domain of the target
queue-retry-all = Retry everything now
queue-domain = Domain
queue-recipients = Recipients
queue-oldest = Oldest
queue-next = Next attempt
queue-cause = Most frequent cause
queue-first = Its first attempt is due.
queue-part = Causes and next attempts are those of the first { $n } messages of the queue.
queue-others = All others
queue-ages = Age:
queue-up-to = up to { $span }
queue-older = older
queue-messages = Show each message that waits
queue-set-aside =
    { $n ->
        [one] 1 recipient was set aside: its message cannot be read
       *[other] { $n } recipients were set aside: their messages cannot be read
    }
queue-held =
    { $n ->
        [one] 1 recipient of held mail
       *[other] { $n } recipients of held mail
    }
done-retry-all =
    { $n ->
        [one] 1 recipient is tried now.
       *[other] { $n } recipients are tried now.
    }
done-resume = { $about } is resumed. What waits for it is tried now.
