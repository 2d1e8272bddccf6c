# The frame of every page, and words that several screens use.

page-title = { $screen } · { $host }
skip = Skip to the content
navigation = Screens
language = Language
theme = Theme
theme-device = As the device
theme-light = Light
theme-dark = Dark
log-out = Log out
search = Search
pages = Pages
page-first = Newest
page-next = Next page
copy = Copy
copied = Copied
undo = Undo
undo-too-large = It is too large for “Undo”.

nav-today = Today
nav-mail = Mail
nav-held = Held
nav-queue = Queue
nav-aliases = Aliases
nav-people = People
nav-passwords = Passwords
nav-setup = Set up
nav-reports = Reports
nav-server = Server

time-now = just now
time-soon = in a moment
time-due = now
time-ago = { $span } ago
time-in = in { $span }
span-milliseconds = { $n } ms
span-tenths = { $n } s
span-seconds = { $n } s
span-minutes = { $n } min
span-hours = { $n } hr
span-days =
    { $n ->
        [one] { $n } day
       *[other] { $n } days
    }
size-bytes = { $n } B
size-kib = { $n } KiB
size-mib = { $n } MiB
size-gib = { $n } GiB

month-1 = Jan
month-2 = Feb
month-3 = Mar
month-4 = Apr
month-5 = May
month-6 = Jun
month-7 = Jul
month-8 = Aug
month-9 = Sep
month-10 = Oct
month-11 = Nov
month-12 = Dec

flow-day = Mail of the last 24 hours, by the hour
flow-hour = Hour (UTC)
flow-numbers = The same in numbers
flow-forwarded = forwarded
flow-own = sent
flow-refused = refused
flow-failed = failed

problem-login = This page is for visitors who are logged in.
problem-owner = This page is for owners of the server.
problem-path = There is no page { $path }.
problem-path-hint = It may have moved. The navigation has every screen.
problem-method = { $method } is not possible here.
problem-title-login = Please log in
problem-title-owner = Not yours to see
problem-title-missing = Not found
problem-title-request = That did not work
problem-title-server = The server could not do it
