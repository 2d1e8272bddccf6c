//! What a crash leaves of the journal, and what moves into the database.

use super::*;
use crate::content::Content;
use crate::content::LocalFile;
use crate::message::Lease;
use crate::message::{Disposition, Flow, Message, NewRecipient, RecipientKey, TlsWish};
use mail::{Body, EnhancedCode, Mailbox, Notify, OriginalRecipient, Ret, ReversePath};

fn message(id: i64) -> NewMessage {
    let mailbox = |text| Mailbox::parse(text).unwrap();
    NewMessage {
        message: Message {
            id: QueueId(id),
            flow: Flow::Own,
            reverse_path: ReversePath::Mailbox(mailbox("her@foreign.test")),
            rewritten_path: Some(ReversePath::Mailbox(mailbox("srs0=x@fwd.test"))),
            may_report: true,
            mendable: true,
            body: Body::EightBit,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("env\u{e4}".into()),
            tls: TlsWish::Optional,
            arrived_ms: 5,
            expires_ms: 6,
            delay_reported: true,
            prefix: b"X: \xff\r\n".as_slice().into(),
        },
        content: Content::memory(QueueId(id), [0, 255, b'x'].repeat(1000).into()),
        recipients: vec![NewRecipient {
            mailbox: mailbox("a@x.test"),
            notify: Notify::parse("FAILURE,DELAY").unwrap(),
            orcpt: Some(OriginalRecipient { kind: "rfc822".into(), address: "b@y.test".into() }),
            known_as: Some(mailbox("me@example.test")),
        }],
        claimed: true,
        held: None,
    }
}

fn arrival(id: i64) -> Operation {
    Operation::Enqueue { messages: vec![message(id)], lease_ms: 9 }
}

fn opened(directory: &Path) -> (Journal, Connection) {
    let db = Connection::open(directory.join("waypost.db")).unwrap();
    sqlite::migrate(&db).unwrap();
    let room = Room::open(directory).unwrap();
    (Journal::open(&db, directory, Arc::new(directory.join("content")), &room).unwrap(), db)
}

fn append(journal: &mut Journal, operation: Operation) -> Result<(), StoreError> {
    assert!(journal.push(&operation));
    journal.commit()?;
    journal.add(operation);
    Ok(())
}

fn messages(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap()
}

#[test]
fn records_are_read_as_they_were_written() {
    let directory = Path::new("content");
    let mut other = message(2);
    other.content = message(1).content;
    let large =
        Content::in_file(QueueId(3), (1_000_000, Some(77)), bytes::Bytes::new(), LocalFile::kept(directory.join(QueueId(3).to_string())));
    let settlement = Settlement {
        recipients: vec![
            (RecipientKey { message: QueueId(1), index: 0 }, Disposition::Done),
            (
                RecipientKey { message: QueueId(1), index: 1 },
                Disposition::Deferred { next_attempt_ms: 4, status: EnhancedCode(4, 2, 300), reason: "\"\u{1}".into(), counts: true },
            ),
            (RecipientKey { message: QueueId(1), index: 2 }, Disposition::SetAside { reason: "odd".into() }),
        ],
        delay_reported: vec![QueueId(1)],
        follow: vec![message(1), other, NewMessage { content: large, claimed: false, held: Some("held".into()), ..message(3) }],
        failed: vec![crate::message::FailedDelivery {
            message: QueueId(8),
            at_ms: 3,
            from: "a".into(),
            to: "b".into(),
            target: "c".into(),
            status: "5.1.1".into(),
            reason: "d".into(),
        }],
        lease: Lease::default(),
    };
    let mut record = Vec::new();
    Entry::write_settlement(&settlement, 11, &mut record);
    let Entry::Settled { settlement: read, lease_ms: 11 } = Entry::read(&record, directory).unwrap() else { panic!("another entry") };
    assert_eq!(format!("{read:?}"), format!("{settlement:?}"));
    record.clear();
    Entry::write_arrival(&settlement.follow, 12, &mut record);
    let Entry::Arrived { messages, lease_ms: 12 } = Entry::read(&record, directory).unwrap() else { panic!("another entry") };
    assert_eq!(format!("{messages:?}"), format!("{:?}", settlement.follow));
    for length in 0..record.len() {
        assert!(Entry::read(&record[..length], directory).is_err(), "{length} octets are no record");
    }
}

#[test]
fn after_a_failed_write_nothing_is_appended_before_all_is_moved() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, db) = opened(dir.path());
    append(&mut journal, arrival(1)).unwrap();
    let good = journal.file.as_mut().unwrap().swap_file(File::open(dir.path().join(JOURNAL)).unwrap());
    assert!(append(&mut journal, arrival(2)).is_err());
    assert!(journal.is_broken());
    journal.file.as_mut().unwrap().swap_file(good);
    assert!(append(&mut journal, arrival(3)).is_err(), "a sync that failed is never taken for one that worked");
    journal.move_to(&db).unwrap();
    append(&mut journal, arrival(4)).unwrap();
    assert_eq!(messages(&db), 1);
    drop(journal);
    let (_journal, db) = opened(dir.path());
    assert_eq!(messages(&db), 2, "what was acknowledged");
}

#[test]
fn a_disk_that_is_full_at_the_move_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, db) = opened(dir.path());
    db.pragma_update(None, "max_page_count", 1).unwrap();
    for id in 1..=50 {
        append(&mut journal, arrival(id)).unwrap();
    }
    assert!(matches!(journal.move_to(&db), Err(StoreError::Full)));
    assert_eq!(messages(&db), 0);
    assert!(append(&mut journal, arrival(99)).is_err(), "the database may have a new salt after a crash");
    assert!(journal.move_is_due_in().is_some());
    // It dies now, or there is room again.
    let (_, after) = opened(&copied(dir.path()));
    assert_eq!(messages(&after), 50);
    db.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    journal.move_to(&db).unwrap();
    assert_eq!((messages(&db), journal.is_broken(), journal.move_is_due_in()), (50, false, None));
    append(&mut journal, arrival(99)).unwrap();
}

/// A copy of the database and the journal.
fn copied(data: &Path) -> PathBuf {
    let copy = tempfile::tempdir().unwrap().keep();
    for name in ["waypost.db", JOURNAL] {
        fs::copy(data.join(name), copy.join(name)).unwrap();
    }
    copy
}

#[test]
fn a_record_that_the_database_has_already_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, db) = opened(dir.path());
    for id in 1..=3 {
        append(&mut journal, arrival(id)).unwrap();
    }
    tables::enqueue_each(&db, &[message(2)], 0).unwrap();
    journal.move_to(&db).unwrap();
    assert_eq!(messages(&db), 3);
    let kept =
        fs::read_dir(dir.path()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-"));
    assert_eq!(kept.count(), 1);
}
