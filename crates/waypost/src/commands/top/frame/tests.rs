//! Frames as text.

use control_api::api::{QueueAge, QueueLane, QueueLanes, Totals};

use super::super::look::{LastReply, ServerLook};
use super::*;

fn look() -> Look {
    let minutes = |last: u64| (0..60).map(|n| if n == 59 { last } else { n % 5 }).collect::<Vec<u64>>();
    let lane = |name: Option<&str>, recipients, oldest_ms| QueueLane { lane: name.map(Into::into), recipients, oldest_ms };
    Look {
        at_ms: 1_800_000_000_000,
        hostname: "mx.example.test".into(),
        server: ServerLook {
            version: "0.1.0".into(),
            sessions_by_listener: [("mx".to_owned(), 2), ("submission".to_owned(), 0)].into(),
            last_hour: FLOW.iter().map(|name| ((*name).to_owned(), minutes(7))).collect(),
            connections: 3,
            workers: 4,
            in_flight: 5,
            ..ServerLook::default()
        },
        totals: Totals { messages: 9, recipients: 12, set_aside: 0, held: 1, held_bytes: 100 },
        lanes: QueueLanes {
            lanes: vec![lane(Some("gmail.com"), 8, 18_000_000), lane(Some("inbox.test"), 2, 5_000), lane(None, 1, 1_000)],
            ages: vec![QueueAge { age: "1m".into(), recipients: 3 }],
        },
        pauses: Vec::new(),
        replies: Some(vec![
            LastReply {
                at_ms: 1_799_999_999_000,
                kind: "delivered".into(),
                to: "me@example.test".into(),
                host: "mx.gmail.com".into(),
                text: "250 2.0.0 OK".into(),
            },
            LastReply {
                at_ms: 1_799_999_990_000,
                kind: "failed".into(),
                to: "a".repeat(300),
                host: "mx.inbox.test".into(),
                text: "550 5.1.1 no such user ".repeat(20),
            },
        ]),
    }
}

fn text(look: &Look, view: &View, width: u16, height: u16) -> Vec<String> {
    lines(look, view, width, height).iter().map(ToString::to_string).collect()
}

#[test]
fn a_frame_fits_every_terminal() {
    for (width, height) in [(80, 24), (40, 10), (200, 60), (10, 3), (1, 1), (0, 0)] {
        for has_help in [false, true] {
            let view = View { has_help, ..View::default() };
            let frame = lines(&look(), &view, width, height);
            assert!(frame.len() <= usize::from(height).max(1), "{width}x{height}: {}", frame.len());
            assert!(frame.iter().all(|line| line.width() <= usize::from(width)), "{width}x{height}: {frame:?}");
        }
    }
}

#[test]
fn eighty_columns_have_what_matters() {
    let frame = text(&look(), &View::default(), 80, 24);
    let all = frame.join("\n");
    for part in [
        "waypost 0.1.0 on mx.example.test  08:00:00  running",
        "sessions 2 (mx 2)   out 3 connections, 4 workers, 5 in flight",
        "queue 11 waiting, 1 held, 0 set aside",
        "accepted             7           3         123   ",
        "gmail.com                                        8     5h 0m",
        "all other lanes                                  1        1s",
        "07:59:59 delivered me@example.test  mx.gmail.com: 250 2.0.0 OK",
        "q quit   p pause   / filter   ? help",
    ] {
        assert!(all.contains(part), "{part:?} is not in:\n{all}");
    }
    assert_eq!(frame.len(), 24);
}

#[test]
fn a_filter_selects_lanes_and_replies() {
    let view = View { filter: "GMAIL".into(), ..View::default() };
    let all = text(&look(), &view, 80, 24).join("\n");
    assert!(all.contains("gmail.com") && !all.contains("inbox.test") && all.contains("filter: GMAIL"), "{all}");
    let view = View { filter: "nowhere".into(), ..View::default() };
    let all = text(&look(), &view, 80, 24).join("\n");
    assert!(all.contains("no lane has this text") && all.contains("no reply has this text"), "{all}");
}

#[test]
fn trouble_pause_and_help_are_shown() {
    let view = View { trouble: Some("the server does not answer".into()), ..View::default() };
    assert!(text(&look(), &view, 80, 24)[0].ends_with("the server does not answer"));
    let view = View { is_paused: true, has_help: true, ..View::default() };
    let all = text(&look(), &view, 80, 24).join("\n");
    assert!(all.contains("paused") && all.contains("q        quit"), "{all}");
    let look = Look { replies: None, ..look() };
    assert!(text(&look, &View::default(), 80, 24).join("\n").contains("keeps no history"));
}
