# The first screen: is all well?

today-well = All is well.
today-needs =
    { $n ->
        [one] One thing needs you.
       *[other] { $n } things need you.
    }
today-numbers = Today { $forwarded } forwarded, { $refused } refused.
today-nothing-waits = Nothing waits.
today-waits =
    { $n ->
        [one] 1 recipient waits for its next attempt.
       *[other] { $n } recipients wait for their next attempt.
    }
today-held =
    { $n ->
        [one] 1 held message waits for you
       *[other] { $n } held messages wait for you
    }
today-look = Look at it
today-flow = Mail of the last day
today-no-mail = No mail in the last 24 hours.
today-counts = Numbers of recipients
today-span = Span
span-today = Today (UTC)
span-week = 7 days
span-month = 30 days
today-server = The server
today-last = Last delivery
today-for = for
today-never = none yet
today-certificate = Certificate
today-days =
    { $n ->
        [one] 1 day left
       *[other] { $n } days left
    }
self-signed = self-signed
today-disk = Disk
today-free = { $size } free
today-version = Version
today-checked = Last check
today-checking = under way; this page shows the result
today-unchecked = none yet
check-again = Check again
today-expected = Expected: { $check }
fix = What to do:
severity-error = Mend now
severity-warning = Mend soon
severity-notice = Good to know
done-check = The check is under way. Its result appears here.
today-welcome = Welcome
today-nothing = Nothing is set up yet. It takes a domain, its DNS records and a first address.
today-start = Set it up
