# Reports of other servers.

reports-sentence-none = No reports yet: other servers send them once a day, to domains whose DMARC record asks for them.
reports-sentence-good =
    { $n ->
        [one] All is well: the one message in your name was yours.
       *[other] All is well: all { $n } messages in your name were yours.
    }
reports-sentence-foreign =
    { $n ->
        [one] Your own mail passes. One message in your name came from elsewhere.
       *[other] Your own mail passes. { $n } messages in your name came from elsewhere.
    }
reports-sentence-failing =
    { $n ->
        [one] One message of this server failed authentication elsewhere.
       *[other] { $n } messages of this server failed authentication elsewhere.
    }
reports-period = Period
reports-days = { $n } days
reports-cut = There are more reports than can be summed up; the numbers are too small.
reports-latest = Latest reports
reports-no-dmarc = No DMARC report in this time.
reports-ours = Yours, passed
reports-ours-failing = Yours, failed
reports-forward = Forwarded
reports-foreign = From elsewhere
reports-sources = Who fails
reports-sources-words = A source from elsewhere is a forger, or a service that you use and have not set up.
reports-source = Source
reports-whose = Whose
reports-class-ours = this server
reports-class-foreign = elsewhere
reports-messages = Messages
reports-why = Reason
reports-seen = Last seen
reports-more =
    { $n ->
        [one] and { $n } more source
       *[other] and { $n } more sources
    }
reports-policy-final = Mail in your name that fails is refused. Nothing more to do.
reports-policy-mend = First mend what fails.
reports-policy-mend-words = With a stricter policy, receivers would refuse mail of yours.
reports-policy-wait = All of your mail passes so far. After a week of reports, the policy can become { $policy }.
reports-policy-next = All of your mail passes. Next step: policy { $policy }
reports-policy-quarantine = Receivers then put mail in your name that fails into the spam folder. Replace the present record by this one:
reports-policy-reject = Receivers then refuse mail in your name that fails. Replace the present record by this one:
reports-policy-foreign =
    { $n ->
        [one] One message came from elsewhere: make sure that it is not from a service of yours.
       *[other] { $n } messages came from elsewhere: make sure that none is from a service of yours.
    }
reports-policy-file = So that the server expects it too, set { $line } under { $section } in the configuration.
reports-tls = Encryption
reports-no-tls = No TLS report in this time.
reports-tls-sentence =
    { $bad ->
        [0] All { $good } connections of other servers were encrypted as they should be.
        [one] { $good } connections of other servers were encrypted as they should be, { $bad } was not.
       *[other] { $good } connections of other servers were encrypted as they should be, { $bad } were not.
    }
reports-tls-result = Failure
reports-tls-host = Host
reports-tls-sessions = Connections
reports-from = Reporter
reports-kind = Kind
reports-about = Period
reports-one = Report { $id }
reports-all = All reports
reports-policy = Policy
reports-results = Results
reports-done = Done with it
reports-details = Details
