//! What a probe makes of each answer, over a name server on loopback.

use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SOA;
use mail::Domain;
use tokio::net::UdpSocket;

use super::*;
use crate::Resolver;

/// How the name server answers; nothing where it is silent.
type Reply = Option<(ResponseCode, bool)>;

/// Answers every question with this code, and with an SOA record without signatures where the code is NOERROR; the flag is AD.
async fn name_server(reply: Arc<Mutex<Reply>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 1232];
        while let Ok((n, peer)) = socket.recv_from(&mut query).await {
            let Some((code, secure)) = *reply.lock().unwrap() else { continue };
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
async fn no_answer_is_not_no() {
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
        *reply.lock().unwrap() = said;
        let resolver = Resolver::new(&[server], Validate::Auto, None).unwrap();
        assert_eq!(resolver.validator().await.word(), want, "{said:?}");
        let looked_up = resolver.mx(&domain).await;
        let waits = matches!(&looked_up, Err(RouteFailure::Temporary(text)) if text.contains("not known yet who validates"));
        assert_eq!(waits, want == "unknown", "{said:?}: {looked_up:?}");
    }
}

#[tokio::test]
async fn what_was_unknown_is_known_once_the_server_answers() {
    let reply = Arc::new(Mutex::new(Some((ResponseCode::ServFail, false))));
    let server = name_server(reply.clone()).await;
    let resolver = Resolver::new(&[server], Validate::Auto, None).unwrap();
    assert_eq!(resolver.validator().await.word(), "unknown");
    *reply.lock().unwrap() = Some((ResponseCode::NoError, true));
    assert_eq!(resolver.validator().await.word(), "unknown", "the next probe is not due yet");
    let answers = timeout(PROBE_SOON * 4, async {
        while resolver.validator().await != Validator::Upstream {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    answers.await.expect("it is probed again soon");
    assert_eq!(resolver.known_validator(), Validator::Upstream);
}
