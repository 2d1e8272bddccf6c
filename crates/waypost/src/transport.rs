//! How commands reach the control API: through the socket of the running server, or in process over the data directory.
//!
//! Invariant: both lead to the same routes, so that a command does the same with and without a running server.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use axum::body::Body;
use control_api::ApiContext;
use control_api::api::{Failure, Page};
use door::{Door, DoorParts};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use mta::LiveDirectory;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Store, StoreError};
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::config::Config;
use crate::control::OfflineControl;
use crate::open_store::{explained, open_store};
use crate::owner::{self, Opened, other_than_root};
use crate::shared_files::SharedFiles;

/// Maximum time for a response; hashing and large imports take a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Items of each page of a whole list: the maximum.
const PAGE_ITEMS: &str = "1000";

/// A connection to the API.
#[derive(Debug)]
pub enum Transport {
    /// To the running server, or to a process that has opened the store as its owner.
    Socket(hyper::client::conn::http1::SendRequest<Body>, Option<Opened>),
    /// Without a running server: the same routes over the data directory.
    InProcess(Box<Router>),
}

impl Transport {
    /// Connects to the server, or opens the data directory.
    pub async fn open(config: &Config) -> Result<Self> {
        let socket = config.admin_socket();
        match UnixStream::connect(&socket).await {
            Ok(stream) => Self::over(stream).await,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                match other_than_root(&config.file.data_dir) {
                    Some(_) => {
                        let (stream, opened) = owner::open(config).await?;
                        Ok(Self::Socket(handshake(stream).await?, Some(opened)))
                    }
                    None => Self::in_process(config).await,
                }
            }
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                bail!(
                    "this user may not open the server's socket {}\n  hint: run the command with sudo, or as the server's user",
                    socket.display()
                )
            }
            Err(e) => Err(e).with_context(|| format!("cannot open the server's socket {}", socket.display())),
        }
    }

    /// Uses a connected socket.
    pub async fn over(stream: UnixStream) -> Result<Self> {
        Ok(Self::Socket(handshake(stream).await?, None))
    }

    /// Opens the data directory; fails while a server runs.
    pub async fn in_process(config: &Config) -> Result<Self> {
        let data = &config.file.data_dir;
        refuse_foreign(data)?;
        let store = open_store(config).await.map_err(|error| match error {
            StoreError::InUse(_) => anyhow!(
                "{error}, but no server answers on {}\n  hint: it may be starting or stopping: try again; otherwise check that it uses the \
                 admin_socket of this configuration ({})",
                config.admin_socket().display(),
                config.path.display()
            ),
            other => explained(&other, config),
        })?;
        // This process has the only access: claims of others have ended.
        store.release_claims(net::Clock::system().now_ms()).await?;
        let settings = &config.settings;
        let live = LiveDirectory::open(store.clone(), &settings.delimiters, settings.virtual_file.clone()).await?;
        Ok(Self::InProcess(Box::new(control_api::operator_router(offline(config, store, Arc::new(live)).await?))))
    }

    /// Whether this is a running server.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Socket(_, None))
    }

    /// Sends GET.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        self.request(Method::GET, path, &()).await
    }

    /// Sends GET with a query.
    pub async fn query<T: DeserializeOwned>(&mut self, path: &str, query: &[(&str, Option<String>)]) -> Result<T> {
        self.request(Method::GET, &with_query(path, query), &()).await
    }

    /// Returns a whole list, page by page.
    pub async fn list<T: DeserializeOwned>(&mut self, path: &str, query: &[(&str, Option<String>)]) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let mut page_query = query.to_vec();
            page_query.extend([("limit", Some(PAGE_ITEMS.to_owned())), ("cursor", cursor)]);
            let page: Page<T> = self.query(path, &page_query).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Sends POST.
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> Result<T> {
        self.request(Method::POST, path, body).await
    }

    /// Sends PATCH.
    pub async fn patch<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> Result<T> {
        self.request(Method::PATCH, path, body).await
    }

    /// Sends DELETE.
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        self.request(Method::DELETE, path, &()).await
    }

    async fn request<T: DeserializeOwned>(&mut self, method: Method, path: &str, body: &impl Serialize) -> Result<T> {
        let json = serde_json::to_vec(body)?;
        let mut request = Request::builder().method(method.clone()).uri(path).header("host", "waypost");
        let with_body = [Method::POST, Method::PATCH].contains(&method);
        if with_body {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(if with_body { Body::from(json) } else { Body::empty() })?;
        self.answer(request).await
    }

    /// Sends POST with a message; it may be empty.
    pub async fn post_message<T: DeserializeOwned>(&mut self, path: &str, message: Vec<u8>) -> Result<T> {
        let request = Request::post(path).header("host", "waypost").header("content-type", "message/rfc822");
        let request = request.header("content-length", message.len()).body(Body::from(message))?;
        self.answer(request).await
    }

    async fn answer<T: DeserializeOwned>(&mut self, request: Request<Body>) -> Result<T> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await;
        let (status, bytes) = answer.map_err(|_| {
            anyhow!("the server did not answer within {} s\n  hint: check its log; it may be overloaded or stuck", ANSWER_TIMEOUT.as_secs())
        })??;
        if status.is_success() {
            return serde_json::from_slice(&bytes).context("cannot read the server's answer: it may be of another version");
        }
        Err(failure(status, &bytes))
    }

    /// Sends GET and gives each line of the response to `each` as it arrives, until the end. Empty lines are left out.
    pub async fn lines(&mut self, path: &str, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let request = Request::get(path).header("host", "waypost").body(Body::empty())?;
        let (status, mut body) = match self {
            Self::Socket(sender, _) => {
                sender.ready().await?;
                let answer = sender.send_request(request).await.context("the server closed the connection; it may be stopping")?;
                (answer.status(), Body::new(answer.into_body()))
            }
            Self::InProcess(router) => {
                let answer = router.as_ref().clone().oneshot(request).await?;
                (answer.status(), answer.into_body())
            }
        };
        if !status.is_success() {
            return Err(failure(status, &body.collect().await?.to_bytes()));
        }
        let mut waiting = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the server has stopped")?.into_data() else { continue };
            waiting.extend_from_slice(&data);
            while let Some(end) = waiting.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if !line.trim_end().is_empty() {
                    each(line.trim_end())?;
                }
            }
        }
        Ok(())
    }

    /// Sends a request and reads the whole response.
    pub async fn send(&mut self, request: Request<Body>) -> Result<(StatusCode, Bytes)> {
        match self {
            Self::Socket(sender, _) => {
                sender.ready().await?;
                let answer = sender.send_request(request).await;
                // As text: a broken socket is not a closed standard output, which ends a command silently.
                let answer = answer.map_err(|error| anyhow!("the server closed the connection; it may be stopping: {error}"))?;
                Ok((answer.status(), answer.into_body().collect().await?.to_bytes()))
            }
            Self::InProcess(router) => {
                let answer = router.as_ref().clone().oneshot(request).await?;
                Ok((answer.status(), answer.into_body().collect().await?.to_bytes()))
            }
        }
    }
}

/// Describes an error of the API.
fn failure(status: StatusCode, bytes: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Failure>(bytes) {
        Ok(Failure { detail, hint: Some(hint), .. }) => anyhow!("{detail}\n  hint: {hint}"),
        Ok(Failure { detail, hint: None, .. }) => anyhow!(detail),
        Err(_) => anyhow!("the server answered {status}: it may be of another version"),
    }
}

/// Describes why the data directory cannot be opened, with the remedy.
async fn handshake(stream: UnixStream) -> Result<hyper::client::conn::http1::SendRequest<Body>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The request that fails gets the error of the connection.
    tokio::spawn(connection);
    Ok(sender)
}

async fn offline(config: &Config, store: Store, live: Arc<LiveDirectory>) -> Result<ApiContext> {
    let clock = net::Clock::system();
    let control = Arc::new(OfflineControl::new(config, &store, &live, &clock));
    if let Some(files) = SharedFiles::new(config, &store, net::acme::Challenges::default()) {
        files.adopt_secrets().await?;
    }
    let password_key = Arc::new(crate::config::secrets::password_key(&config.file.password_key())?);
    let events = events::Events::default();
    let (key, now) = (password_key.clone(), clock.clone());
    let parts = DoorParts { store: store.clone(), live: live.clone(), key, clock: now, events: events.clone() };
    Ok(ApiContext {
        door: Door::open(parts).await?,
        page_url: config.page_url(),
        store,
        live,
        password_key,
        clock,
        resolver: crate::serve::resolver(config).ok(),
        report_facts: crate::dns_facts::report_facts(config),
        certificates: config.certificate_directories().certificates,
        events,
        history: config.file.history.enabled.then(|| history::History::read_only(&config.file.data_dir)),
        control,
        shared: control_api::ApiShared::default(),
    })
}

/// Refuses a data directory of another user: a command of root would leave files that the server cannot write.
fn refuse_foreign(data: &Path) -> Result<()> {
    let metadata = match std::fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            bail!("the data directory {} does not exist\n  hint: waypost setup DOMAIN creates it", data.display())
        }
        Err(e) => return Err(e).with_context(|| format!("{}", data.display())),
    };
    let (owner, me) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if owner != me {
        bail!(
            "{} belongs to {}, but this is user ID {me}\n  hint: run the command with sudo, or as that user",
            data.display(),
            owner::name(owner.into())
        );
    }
    Ok(())
}

/// Escapes one segment of a path.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~@+".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Appends the parameters that have a value to a path.
pub fn with_query(path: &str, query: &[(&str, Option<String>)]) -> String {
    let pairs: Vec<String> =
        query.iter().filter_map(|(name, value)| value.as_ref().map(|v| format!("{name}={}", segment(v).replace('+', "%2B")))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(segment("a/b?c@d#e"), "a%2Fb%3Fc@d%23e");
        assert_eq!(with_query("/p", &[("a", Some("x+y z".into())), ("b", None)]), "/p?a=x%2By%20z");
    }

    use control_api::api::DomainView;

    fn config(dir: &Path) -> Config {
        let path = dir.join("waypost.toml");
        crate::config::parse(&path, "hostname = \"mx.example.test\"\ndata_dir = \"data\"\n").unwrap()
    }

    async fn names(api: &mut Transport) -> Vec<String> {
        let domains: Vec<DomainView> = api.list("/api/v1/domains", &[]).await.unwrap();
        domains.into_iter().map(|domain| domain.name).collect()
    }

    #[tokio::test]
    async fn commands_do_the_same_with_and_without_a_server() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let error = Transport::open(&config).await.unwrap_err().to_string();
        assert!(error.contains("waypost setup"), "{error}");
        std::fs::create_dir(&config.file.data_dir).unwrap();
        let mut offline = Transport::open(&config).await.unwrap();
        assert!(matches!(offline, Transport::InProcess(_)));
        let new = control_api::api::NewDomain { name: "example.test".into() };
        let _: control_api::api::Changed = offline.post("/api/v1/domains", &new).await.unwrap();

        let locked = Transport::open(&config).await.unwrap_err().to_string();
        assert!(locked.contains("no server answers on") && locked.contains("hint:"), "{locked}");

        let Transport::InProcess(router) = &offline else { panic!("it is in process") };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (router, socket) = (router.as_ref().clone(), config.admin_socket());
        let listener = control_api::bind(&socket).await.unwrap();
        let server = tokio::spawn(async move { control_api::serve(listener, router, &socket, async { drop(stopped.await) }).await });
        let mut online = Transport::open(&config).await.unwrap();
        assert!(matches!(online, Transport::Socket(..)));
        assert_eq!((names(&mut online).await, names(&mut offline).await), (vec!["example.test".into()], vec!["example.test".to_owned()]));
        let error = online.post::<control_api::api::Changed>("/api/v1/domains", &new).await.unwrap_err().to_string();
        assert_eq!(error, "example.test is already hosted here");
        drop((stop, online));
        server.await.unwrap().unwrap();
    }
}
