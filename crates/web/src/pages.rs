//! The pages: from host and path to what is shown.
//!
//! Pure: no sockets, no files. Invariant: a page is decided by the request and by what [`Pages`] was made with, and by nothing else.

/// A request, as pages see it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// POST; else GET or HEAD.
    pub is_post: bool,
    /// The host that is asked, lower case, without a port.
    pub host: &'a str,
    /// The path, as it came.
    pub path: &'a str,
    /// What stands behind the `?`.
    pub query: Option<&'a str>,
    /// The body, at most 64 KiB.
    pub body: &'a [u8],
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// What it says.
    pub body: Vec<u8>,
}

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct Pages {
    /// The server's own name.
    pub hostname: String,
}

impl Pages {
    /// The page for a request; `None` where there is none.
    pub fn page(&self, asked: &Asked<'_>) -> Option<Page> {
        match (asked.is_post, asked.path) {
            // For whoever watches whether the server is up.
            (false, "/") => Some(text(format!("{} is a mail server\n", self.hostname))),
            _ => None,
        }
    }
}

fn text(body: String) -> Page {
    Page { content_type: "text/plain; charset=utf-8", body: body.into_bytes() }
}
