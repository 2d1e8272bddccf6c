//! Probes against a name server on loopback.

use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SOA;
use mail::Domain;
use tokio::net::UdpSocket;

use super::*;
use crate::Resolver;

/// How the name server answers; `None` is silence.
type Reply = Option<(ResponseCode, bool)>;

/// Answers every question with this code, for NOERROR with an SOA record without signatures; the flag is AD.
async fn name_server(reply: Arc<Mutex<Reply>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 1232];
        while let Ok((n, peer)) = socket.recv_from(&mut query).await {
            let Some((code, secure)) = *reply.lock() else { continue };
            let mut message = Message::from_vec(&query[..n]).unwrap();
            message.metadata.message_type = MessageType::Response;
            message.metadata.response_code = code;
            message.metadata.authentic_data = secure;
            if code == ResponseCode::NoError {
                let soa = SOA::new(Name::root(), Name::root(), 1, 2, 3, 4, 5);
                message.add_answer(Record::from_rdata(Name::root(), 60, RData::SOA(soa)));
            }
            let _ = socket.send_to(&message.to_vec().unwrap(), peer).await;
        }
    });
    address
}

#[tokio::test]
async fn without_a_probe_result_lookups_fail_temporarily() {
    let reply = Arc::new(Mutex::new(None));
    let server = name_server(reply.clone()).await;
    let domain = Domain::parse("far.test").unwrap();
    for (said, want) in [
        (None, "unknown"),
        (Some((ResponseCode::ServFail, false)), "unknown"),
        (Some((ResponseCode::Refused, false)), "unknown"),
        (Some((ResponseCode::NoError, false)), "no-signatures"),
        (Some((ResponseCode::FormErr, false)), "no-signatures"),
        (Some((ResponseCode::NoError, true)), "upstream"),
    ] {
        *reply.lock() = said;
        let resolver = Resolver::new(&[server], Validate::Auto, None).unwrap();
        assert_eq!(resolver.validator().await.word(), want, "{said:?}");
        let looked_up = resolver.mx(&domain).await;
        let waits = matches!(&looked_up, Err(RouteFailure::Temporary(text)) if text.contains("not known yet whether"));
        assert_eq!(waits, want == "unknown", "{said:?}: {looked_up:?}");
    }
}

#[tokio::test]
async fn an_unknown_validator_is_probed_again() {
    let reply = Arc::new(Mutex::new(Some((ResponseCode::ServFail, false))));
    let server = name_server(reply.clone()).await;
    let resolver = Resolver::new(&[server], Validate::Auto, None).unwrap();
    assert_eq!(resolver.validator().await.word(), "unknown");
    *reply.lock() = Some((ResponseCode::NoError, true));
    assert_eq!(resolver.validator().await.word(), "unknown", "the next probe is not due yet");
    let answers = timeout(PROBE_RETRY * 4, async {
        while resolver.validator().await != Validator::Upstream {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    answers.await.expect("the next probe is soon");
    assert_eq!(resolver.known_validator(), Validator::Upstream);
}

#[tokio::test]
async fn ad_is_trusted_only_if_all_name_servers_are_on_loopback() {
    let server = name_server(Arc::new(Mutex::new(Some((ResponseCode::NoError, true))))).await;
    let far: SocketAddr = "192.0.2.53:53".parse().unwrap();
    let resolver = Resolver::new(&[server, far], Validate::Auto, None).unwrap();
    assert_eq!(resolver.validator().await.word(), "no-signatures");
    assert!(matches!(Resolver::new(&[server, far], Validate::Upstream, None), Err(ResolverError::NotLocal)));
}
