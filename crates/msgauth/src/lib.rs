pub struct Authenticator;
pub struct Input<'a> {
    pub client: std::net::IpAddr,
    pub hello: &'a str,
    pub reverse_path: Option<&'a str>,
    pub hostname: &'a str,
    pub message: &'a [u8],
}
impl Authenticator {
    pub async fn verify_dkim(&self, _m: &[u8]) -> Vec<mail::evidence::DkimCheck> {
        vec![]
    }
    pub async fn evaluate(&self, _i: Input<'_>) -> mail::evidence::Evidence {
        Default::default()
    }
}
mod key;
mod sign;
pub use key::{Algorithm, KeyError, KeyPair, record};
pub use sign::Signer;
