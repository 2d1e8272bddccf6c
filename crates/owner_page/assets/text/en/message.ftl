# One message: its timeline and what can be done about it.

message-title = Message { $id }
message-none = This message is neither in the queue nor in the history. It may be older than what the history keeps.
message-search = Search for it
message-facts = The message
message-timeline = What happened
message-queue = Still to be delivered
message-no-history = The history has nothing about this message.
message-is-held = It waits for you to decide.
message-waits =
    { $n ->
        [0] The first attempt is { $next }.
        [one] After 1 attempt, the next is { $next }.
       *[other] After { $n } attempts, the next is { $next }.
    }
message-author = From field
message-subject = Subject
message-target = Delivered to
message-arrived = Arrived
message-size = Size
message-queue-id = Queue ID
by = by
release = Release
release-wrapped = Release as an attachment
drop = Drop
drop-words = The message is deleted for good, and its sender is not told. This cannot be undone.
retry-now = Retry now
disable-alias = Disable { $alias }
change-target = Change where { $alias } goes
done-retry = It is being tried now.
done-drop = Dropped.
done-release = Released. It is on its way to its target.
done-disable-alias = { $alias } is disabled: mail to it is refused.
done-enable-alias = { $alias } accepts mail again.
block-sender = Block { $sender } for { $alias }
always-allow = Release, and never hold { $sender } again
done-block = Mail from { $sender } to { $alias } is refused from now on.
done-unblock = Mail from { $sender } to { $alias } is no longer refused.
done-allow = Released. Mail from { $sender } to { $alias } is not held again.
done-disallow = Mail from { $sender } to { $alias } is held again where it is doubtful.
