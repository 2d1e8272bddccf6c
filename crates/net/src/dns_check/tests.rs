//! A server on loopback that truncates, forges, or stays silent.

use std::net::Ipv4Addr;

use dns_plan::{Answer, Data, RecordType};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, NS, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType as Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::ask::Asker;
use super::parse;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn reply(query: &[u8]) -> Message {
    let mut message = Message::from_vec(query).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.edns = None;
    message
}

fn texts() -> Record {
    Record::from_rdata(name("long.example."), 60, RData::TXT(TXT::new(vec!["a".repeat(255); 8])))
}

#[tokio::test]
async fn forged_answers_are_ignored_and_truncated_ones_repeated_over_tcp() {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // The port may be taken for TCP.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
        let mut forged = reply(&buffer[..length]);
        forged.metadata.id = forged.metadata.id.wrapping_add(1);
        forged.add_answer(Record::from_rdata(name("long.example."), 60, RData::TXT(TXT::new(vec!["forged".to_owned()]))));
        udp.send_to(&forged.to_vec().unwrap(), client).await.unwrap();
        udp.send_to(b"no DNS at all", client).await.unwrap();
        let mut cut = reply(&buffer[..length]);
        cut.metadata.truncation = true;
        udp.send_to(&cut.to_vec().unwrap(), client).await.unwrap();
        let (mut stream, _) = tcp.accept().await.unwrap();
        let length = usize::from(stream.read_u16().await.unwrap());
        stream.read_exact(&mut buffer[..length]).await.unwrap();
        let mut whole = reply(&buffer[..length]);
        whole.add_answer(texts());
        let octets = whole.to_vec().unwrap();
        stream.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
        stream.write_all(&octets).await.unwrap();
    });
    let message = Asker::default().ask(address, "long.example.", Type::TXT, true).await.unwrap();
    let answer = parse::answer(&message, RecordType::Txt);
    assert!(matches!(&answer.records()[0].data, Data::Text(text) if text.len() == 2040), "{answer:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_asked_once() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (asker, address) = (Asker::default(), silent.local_addr().unwrap());
    let first = asker.ask(address, "a.example.", Type::A, true).await.unwrap_err();
    assert!(first.contains("no answer within"), "{first}");
    assert_eq!(asker.ask(address, "b.example.", Type::A, true).await.unwrap_err(), "it did not answer before");
}

#[test]
fn nxdomain_servfail_and_referral_are_told_apart() {
    let mut message = Message::response(1, hickory_resolver::proto::op::OpCode::Query);
    let soa = SOA::new(name("ns.example."), name("root.example."), 1, 2, 3, 4, 300);
    message.add_authority(Record::from_rdata(name("example."), 900, RData::SOA(soa)));
    message.metadata.response_code = ResponseCode::NXDomain;
    assert_eq!(parse::answer(&message, RecordType::A), Answer::NoName { zone: "example.".into(), ttl_s: 300 });
    assert_eq!(parse::zone_of(&message, "x.example."), Some("example.".into()));
    assert_eq!(parse::zone_of(&message, "x.notexample."), None);
    message.metadata.response_code = ResponseCode::ServFail;
    assert!(matches!(parse::answer(&message, RecordType::A), Answer::Failed(_)));
    let mut referral = Message::response(1, hickory_resolver::proto::op::OpCode::Query);
    referral.add_authority(Record::from_rdata(name("example."), 900, RData::NS(NS(name("ns.example.")))));
    assert!(matches!(parse::answer(&referral, RecordType::A), Answer::Failed(why) if why.contains("refers")));
    let mut alias = Message::response(1, hickory_resolver::proto::op::OpCode::Query);
    alias.add_answer(Record::from_rdata(name("x.example."), 60, RData::CNAME(CNAME(name("Y.example.")))));
    assert_eq!(parse::answer(&alias, RecordType::A).records()[0].data, Data::Alias("y.example.".into()));
}
