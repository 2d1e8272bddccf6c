//! Style sheet, scripts and icon, from the binary, under names with the hash of their content.
//!
//! RFC 8246 (immutable). Invariant: a name always has the same content; compressed once, at first use.

use std::io::Write;
use std::sync::OnceLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::screen::PageState;

/// One file.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    ending: &'static str,
    kind: &'static str,
    content: &'static [u8],
    packed: OnceLock<Vec<u8>>,
}

macro_rules! asset {
    ($name:literal, $ending:literal, $kind:literal, $file:literal) => {
        Asset { name: $name, ending: $ending, kind: $kind, content: include_bytes!(concat!("../assets/", $file)), packed: OnceLock::new() }
    };
}

/// The style sheet.
pub(crate) static STYLE: Asset = asset!("style", "css", "text/css; charset=utf-8", "style.css");

/// htmx, unchanged.
pub(crate) static HTMX: Asset = asset!("htmx", "js", "text/javascript; charset=utf-8", "third_party/htmx/htmx.min.js");

/// The page's own script.
pub(crate) static APP: Asset = asset!("app", "js", "text/javascript; charset=utf-8", "app.js");

/// The script of passkeys, on the pages that have their forms.
pub(crate) static PASSKEY: Asset = asset!("passkey", "js", "text/javascript; charset=utf-8", "passkey.js");

/// The icon of the site.
pub(crate) static ICON: Asset = asset!("icon", "svg", "image/svg+xml", "icon.svg");

static ALL: [&Asset; 5] = [&STYLE, &HTMX, &APP, &PASSKEY, &ICON];

impl Asset {
    /// Returns its path.
    pub fn path(&self) -> String {
        format!("/assets/{}", self.file_name())
    }

    fn file_name(&self) -> String {
        format!("{}-{:016x}.{}", self.name, hash(self.content), self.ending)
    }

    fn packed(&self) -> &[u8] {
        self.packed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // Writing to memory does not fail.
            let _ = encoder.write_all(self.content);
            encoder.finish().unwrap_or_default()
        })
    }
}

/// FNV-1a, 64 bits: names a content, protects nothing.
fn hash(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/assets/{name}", get(serve))
}

async fn serve(Path(name): Path<String>, fields: HeaderMap) -> Response {
    let Some(asset) = ALL.into_iter().find(|asset| asset.file_name() == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let common = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    let accepts = fields.get(header::ACCEPT_ENCODING).and_then(|field| field.to_str().ok()).is_some_and(accepts_gzip);
    if accepts {
        return (common, [(header::CONTENT_ENCODING, "gzip")], asset.packed()).into_response();
    }
    (common, asset.content).into_response()
}

/// Whether an Accept-Encoding field names gzip with a weight other than 0.
fn accepts_gzip(field: &str) -> bool {
    field.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip")) && !parts.any(|part| ["q=0", "q=0.0"].contains(&part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_hash_and_the_first_load_is_small() {
        let packed: usize = [&STYLE, &HTMX, &APP, &ICON].iter().map(|asset| asset.packed().len()).sum();
        assert!(packed < 40 * 1024, "{packed} octets of assets");
        for asset in ALL {
            assert!(asset.path().len() > "/assets/-.js".len() + 16, "{}", asset.path());
        }
    }

    #[test]
    fn gzip_is_chosen_only_where_it_is_accepted() {
        for (field, accepts) in
            [("gzip, deflate, br", true), ("br;q=1, GZIP;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("", false)]
        {
            assert_eq!(accepts_gzip(field), accepts, "{field}");
        }
    }
}
