//! The channels of notices: mail, webhook, ntfy.
//!
//! Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature over id, timestamp and body), ntfy's HTTP API. Invariant: a channel accepts a
//! notice or says why not; only 2xx is acceptance.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::body::Bytes;
use mail::one_line_at_most;
use mta::{DirectSender, Postmaster};
use net::{ClientTls, Clock, HttpPost, PostAnswer, PostOptions, PostUrl, Resolver, hmac_sha256, http_post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::notice::{Notice, NoticeKind};
use super::settings::{NoticeSettings, Ntfy, Webhook};

/// Maximum octets of the text for ntfy, which makes an attachment of a longer one.
const NTFY_MAX_BYTES: usize = 4000;

/// Maximum characters of an answer that are shown.
const SHOWN_MAX_CHARS: usize = 200;

/// A channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    Mail,
    Webhook,
    Ntfy,
}

impl Channel {
    /// All, with their names.
    pub const ALL: [(Self, &str); 3] = [(Self::Mail, "mail"), (Self::Webhook, "webhook"), (Self::Ntfy, "ntfy")];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(channel, _)| *channel == self).map_or("", |(_, name)| name)
    }
}

/// What a channel answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelAnswer {
    /// Its name.
    pub channel: &'static str,
    /// Whether it accepted the notice.
    pub ok: bool,
    /// The answer, in words.
    pub answer: String,
}

/// What sends notices.
#[derive(Debug)]
pub struct Channels {
    pub settings: NoticeSettings,
    pub hostname: String,
    pub resolver: Resolver,
    pub tls: ClientTls,
    pub postmaster: Postmaster,
    pub direct: DirectSender,
    /// The postmaster's address.
    pub owner: Option<mail::Mailbox>,
    pub clock: Clock,
}

impl Channels {
    /// The channels that are set up.
    pub fn open(&self) -> Vec<Channel> {
        let is_open = |channel: Channel| match channel {
            Channel::Mail => self.settings.mail && self.owner.is_some(),
            Channel::Webhook => self.settings.webhook.is_some(),
            Channel::Ntfy => self.settings.ntfy.is_some(),
        };
        Channel::ALL.into_iter().map(|(channel, _)| channel).filter(|channel| is_open(*channel)).collect()
    }

    /// Whether the channel needs this notice.
    pub fn wants(&self, channel: Channel, notice: &Notice) -> bool {
        !(channel == Channel::Mail && notice.has_letter)
    }

    /// Sends a notice; `id` stays the same when it is tried again.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub async fn send(&self, channel: Channel, id: &str, notice: &Notice) -> Result<String, String> {
        match channel {
            Channel::Mail => self.mail(notice).await,
            Channel::Webhook => match &self.settings.webhook {
                Some(webhook) => self.post(&webhook.url, self.signed(webhook, id, notice)).await,
                None => Err("notices.webhook is not set".into()),
            },
            Channel::Ntfy => match &self.settings.ntfy {
                Some(ntfy) => self.post(&ntfy.url, published(ntfy, &self.hostname, notice)).await,
                None => Err("notices.ntfy is not set".into()),
            },
        }
    }

    async fn mail(&self, notice: &Notice) -> Result<String, String> {
        let Some(owner) = &self.owner else { return Err("no postmaster is configured: set postmaster".into()) };
        if let Some(route) = &self.settings.route {
            return self.direct.send(route, owner, &notice.subject, &notice.text).await;
        }
        match self.postmaster.notify(&notice.subject, &notice.text).await {
            Ok(true) => Ok(format!("queued for {owner}: `waypost queue list` shows it until it is delivered")),
            Ok(false) => Err("no postmaster is configured: set postmaster".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn signed(&self, webhook: &Webhook, id: &str, notice: &Notice) -> (Vec<(&'static str, String)>, Bytes) {
        let now_s = self.clock.now_s();
        let body = json!({
            "type": format!("notice.{}", notice.kind.name()),
            "timestamp": timestamp(now_s),
            "data": {
                "server": self.hostname,
                "node": notice.node,
                "kind": notice.kind.name(),
                "urgent": notice.is_urgent && notice.kind != NoticeKind::Digest,
                "subject": notice.subject,
                "text": notice.text,
            },
        });
        sign(webhook, id, now_s, body.to_string().into())
    }

    async fn post(&self, url: &PostUrl, (headers, body): (Vec<(&'static str, String)>, Bytes)) -> Result<String, String> {
        let at = PostOptions { ipv6: self.settings.ipv6, private: self.settings.private };
        let answered = http_post(&self.resolver, &self.tls, HttpPost { url, headers, body }, at).await;
        let PostAnswer { status, text } = answered.map_err(|error| error.to_string())?;
        let shown = one_line_at_most(text.trim(), SHOWN_MAX_CHARS);
        let said = format!("{} answers {status} {shown}", url.host()).trim_end().to_owned();
        if (200..300).contains(&status) { Ok(said) } else { Err(said) }
    }
}

/// The fields and the body of a webhook.
fn sign(webhook: &Webhook, id: &str, now_s: i64, body: Bytes) -> (Vec<(&'static str, String)>, Bytes) {
    let stamp = now_s.to_string();
    let code = hmac_sha256(&webhook.key, &[id.as_bytes(), b".", stamp.as_bytes(), b".", &body]);
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", stamp),
        ("webhook-signature", format!("v1,{}", BASE64.encode(code))),
    ];
    (headers, body)
}

/// A time as RFC 3339 writes it, in UTC.
fn timestamp(unix_s: i64) -> String {
    // Days since 0000-03-01 (Howard Hinnant's civil_from_days).
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_place = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_place + 2) / 5 + 1;
    let month = if month_place < 10 { month_place + 3 } else { month_place - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The fields and the body of an ntfy message.
fn published(ntfy: &Ntfy, hostname: &str, notice: &Notice) -> (Vec<(&'static str, String)>, Bytes) {
    let (priority, tag) = match notice.kind {
        NoticeKind::DiskLow | NoticeKind::AccountSuspended | NoticeKind::NewNetwork => ("high", "warning"),
        NoticeKind::Digest | NoticeKind::NewSender => ("default", "envelope"),
        NoticeKind::Test => ("default", "white_check_mark"),
        _ => ("high", "rotating_light"),
    };
    let title = format!("{hostname}: {}", notice.subject);
    let title = if title.is_ascii() { title } else { format!("=?utf-8?B?{}?=", BASE64.encode(title)) };
    let mut headers = vec![
        ("content-type", "text/plain; charset=utf-8".to_owned()),
        ("title", title),
        ("priority", priority.to_owned()),
        ("tags", tag.to_owned()),
    ];
    headers.extend(ntfy.token.as_ref().map(|token| ("authorization", format!("Bearer {token}"))));
    let mut end = notice.text.len().min(NTFY_MAX_BYTES);
    while !notice.text.is_char_boundary(end) {
        end -= 1;
    }
    (headers, Bytes::copy_from_slice(notice.text.get(..end).unwrap_or_default().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the reference libraries.
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let webhook = Webhook { url: "https://x.test/".parse().unwrap(), key };
        let (headers, _) = sign(&webhook, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, Bytes::from_static(b"{\"test\": 2432232314}"));
        let signature = headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap();
        assert_eq!(signature.1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        for (unix_s, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_164_799, "2024-02-28T23:59:59Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(unix_s), want);
        }
    }

    #[test]
    fn ntfy_gets_a_title_in_ascii_and_a_short_text() {
        let ntfy = Ntfy { url: "https://ntfy.test/t".parse().unwrap(), token: Some("tk_x".into()) };
        let text = "ü\n".repeat(3000);
        let (headers, body) = published(&ntfy, "mx.test", &Notice::urgent(NoticeKind::DiskLow, "", "für dich", &text));
        let value = |name: &str| headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        assert!(value("title").starts_with("=?utf-8?B?") && value("title").is_ascii());
        assert_eq!((value("priority").as_str(), value("authorization").as_str()), ("high", "Bearer tk_x"));
        assert!(body.len() <= NTFY_MAX_BYTES && std::str::from_utf8(&body).is_ok());
    }
}
