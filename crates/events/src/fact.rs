//! The further facts of an event.

/// Defines the facts: name in JSON, history and docs, and meaning.
macro_rules! facts {
    ($($variant:ident $name:literal $meaning:literal;)+) => {
        /// The name of a fact of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum Fact {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)+
        }

        impl Fact {
            /// All facts, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns its meaning.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

facts! {
    SizeBytes "size_bytes" "size of the message, in octets";
    Recipients "recipients" "number of recipients";
    Spf "spf" "result of SPF, a space, and the domain that it is about";
    Dkim "dkim" "results of DKIM, each with domain and selector, separated by commas";
    Dkim2 "dkim2" "result of the DKIM2 chain, then the domains that signed its hops, or why it does not pass; left out without a chain";
    Dmarc "dmarc" "result of DMARC, and the policy of the domain: pass p=reject";
    Arc "arc" "result of ARC";
    Dkim2Hop "dkim2_hop" "hops of ours in the DKIM2 chain of what leaves, separated by commas: number, domain and algorithm of each; left out if we signed none";
    ArcSet "arc_set" "ARC set that we added to what leaves: its number and our domain";
    Iprev "iprev" "name of the client's address, if it is confirmed";
    Score "score" "score of the spam filter";
    FromField "from_field" "address of the From field";
    Subject "subject" "the Subject field; only if history.subjects is on";
    Tls "tls" "TLS version and cipher suite; left out without TLS";
    Plaintext "plaintext" "why the host got the message without TLS: it offers none, or TLS with it failed";
    Verified "verified" "how the host's certificate was verified: dane, mta-sts, pin, certificate; left out if it was not";
    Mechanism "mechanism" "login mechanism";
    Password "password" "name of the password or certificate that logged in";
    Status "status" "enhanced code (RFC 3463) of the outcome";
    Attempt "attempt" "number of the attempt, from 1";
    RetryInS "retry_in_s" "seconds until the next attempt";
    TookMs "took_ms" "duration of the step, in milliseconds";
    ReceivedInMs "received_in_ms" "time from DATA to the end of the content, in milliseconds: the client's part";
    AgeMs "age_ms" "time since the message arrived, in milliseconds";
    Meaning "meaning" "name of the row of the table of remote replies";
    Cause "cause" "cause, in words, by the table of remote replies";
    NextStep "next_step" "what the owner can do, by the table of remote replies";
    Flow "flow" "own, forward, report, ...: whose mail it is";
    About "about" "queue ID of the message that this one reports on, or replaces";
    Copies "copies" "queue IDs of its further copies, one for each further target, separated by spaces";
    Reported "reported" "yes if the sender gets a DSN, no if not";
    Times "times" "how often it has happened";
    New "new" "whether it is the first time: a login from a network, a sender to an alias";
    What "what" "the object that changed: alias, account, domain, key, token, setting";
    Change "change" "what changed, in words";
    Command "command" "the command or request that changed it";
    Listener "listener" "kind of the listener: mx, submission, submissions";
    Domain "domain" "the domain";
    Days "days" "days left";
}
