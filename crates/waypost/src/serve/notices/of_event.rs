//! Which events are worth a notice, and its words.
//!
//! Invariant: an event that happens daily in a healthy server makes none.

use dns_plan::DomainLoss;
use events::{Event, EventKind, Fact};

use super::notice::{Notice, NoticeKind};

/// Returns the notice about an event, if it is worth one.
pub fn of_event(event: &Event) -> Option<Notice> {
    let fact = |name| event.get(name).unwrap_or_default();
    let reason = event.reason.as_deref().unwrap_or_default();
    let login = event.login.as_deref().unwrap_or_default();
    Some(match event.kind {
        EventKind::CertificateFailed => {
            let name = fact(Fact::What);
            let days = event.get(Fact::Days).map(|days| format!("\nThe one in use is valid for {days} more days.")).unwrap_or_default();
            let text = format!(
                "{reason}{days}\n\nIt is tried again by itself. To see what the CA said, and to try now:\n\n  waypost cert show\n  waypost cert renew --force\n"
            );
            Notice::urgent(NoticeKind::Certificate, &format!("failed {name}"), &format!("the certificate {name} cannot be renewed"), &text)
        }
        EventKind::DnsDrift => {
            let (what, change) = (fact(Fact::What), fact(Fact::Change));
            if let Some(lost) = lost_domain(what, change) {
                let text = format!("{reason}\n\n{}\n\n  waypost dns check\n", fact(Fact::NextStep));
                return Some(Notice { has_letter: true, ..Notice::urgent(NoticeKind::Dns, what, &lost, &text) });
            }
            let text = format!("{reason}\n\n  waypost dns check\n");
            let notice = Notice::daily(NoticeKind::Dns, what, &format!("the DNS record {what} has changed: {change}"), &text);
            Notice { has_letter: true, ..notice }
        }
        EventKind::DiskLow => {
            let text = format!("{}.\n", fact(Fact::NextStep));
            Notice::urgent(NoticeKind::DiskLow, "", "the disk is nearly full", &text).of_node()
        }
        EventKind::FilterDown => {
            let text = format!("{reason}\n\nSee [filter] in the configuration: when_down says what happens to mail meanwhile.\n");
            Notice::urgent(NoticeKind::FilterDown, "", "the spam filter does not answer", &text)
        }
        EventKind::AccountSuspended => {
            let text = format!(
                "{reason}\n\nThe usual cause is a stolen password. See which one was used, from where; replace it; then resume the account:\n\n\
                 \x20 waypost account show {login}\n  waypost account passwd {login} --name NAME\n  waypost account resume {login}\n"
            );
            Notice::urgent(NoticeKind::AccountSuspended, login, &format!("the account {login} is suspended"), &text)
        }
        EventKind::LoggedIn | EventKind::OwnerLoggedIn if event.get(Fact::New) == Some("yes") => {
            new_network(event, login, fact(Fact::Password))
        }
        EventKind::BugCaught => {
            let text = "The log has the lines before it. No accepted mail is lost. Please report it.\n";
            Notice::urgent(NoticeKind::Bug, "", "a bug was caught", text).of_node()
        }
        _ => return None,
    })
}

/// The sentence about a domain whose mail does not come here any more.
fn lost_domain(what: &str, change: &str) -> Option<String> {
    let loss = [DomainLoss::Unregistered, DomainLoss::Elsewhere].into_iter().find(|loss| loss.as_str() == change)?;
    Some(loss.sentence(what.split(' ').next()?.trim_end_matches('.')))
}

fn new_network(event: &Event, login: &str, password: &str) -> Notice {
    let client = event.client.map(|client| client.to_string()).unwrap_or_default();
    if event.kind == EventKind::OwnerLoggedIn {
        let text = format!(
            "{login} has opened the owner's page from {client}, for the first time from that network.\n\n\
             If that was not you, end its sessions, and replace the password:\n\n  waypost web sessions --end {login}\n  waypost account show {login}\n"
        );
        return Notice::urgent(NoticeKind::NewNetwork, login, &format!("{login} has logged in from a new network"), &text);
    }
    let text = format!(
        "{login} has logged in from {client} with the password \"{password}\", for the first time from that network.\n\n\
         If that was not you, replace the password:\n\n  waypost account show {login}\n  waypost account passwd {login} --name {password}\n"
    );
    // Once a day for an account: Gmail logs in from many networks.
    Notice::urgent(NoticeKind::NewNetwork, login, &format!("{login} has logged in from a new network"), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_makes_a_notice() {
        let suspended = Event::new(EventKind::AccountSuspended, 0).login(Some("me@example.test")).reason(Some("too much\r\nBcc: x"));
        let notice = of_event(&suspended).unwrap();
        assert!(notice.is_urgent && notice.text.contains("waypost account resume me@example.test"), "{notice:?}");
        assert_eq!(notice.subject, "the account me@example.test is suspended");
        assert!(!notice.text.contains('\r'), "{notice:?}");
        let drift = Event::new(EventKind::DnsDrift, 0).fact(Fact::What, "example.test. MX").fact(Fact::Change, "missing");
        let notice = of_event(&drift).unwrap();
        assert_eq!((notice.is_urgent, notice.has_letter), (false, true));
        let gone = Event::new(EventKind::DnsDrift, 0).fact(Fact::What, "example.test. MX").fact(Fact::Change, "unregistered");
        let notice = of_event(&gone).unwrap();
        assert_eq!((notice.is_urgent, notice.subject.as_str()), (true, "the domain example.test does not exist any more"));
        let login = Event::new(EventKind::LoggedIn, 0).login(Some("me@example.test"));
        assert_eq!(of_event(&login), None);
        assert!(of_event(&login.clone().fact(Fact::New, "yes")).unwrap().subject.contains("from a new network"));
        assert_eq!(of_event(&login.fact(Fact::New, "first")), None, "the first login of an account is no news");
        let page = Event::new(EventKind::OwnerLoggedIn, 0).login(Some("me@example.test")).fact(Fact::New, "yes");
        assert!(of_event(&page).unwrap().text.contains("waypost web sessions --end me@example.test"));
        assert_eq!(of_event(&Event::new(EventKind::Delivered, 0)), None);
    }
}
