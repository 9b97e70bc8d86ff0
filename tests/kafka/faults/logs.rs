//! Topics whose logs have holes: retention, compaction, transactions.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::lab::{Case, LONG, ONE_SHOT};
use crate::support::wait_until;

/// `--max-span` of a worker that is held back.
const SPAN: i64 = 4;

#[test]
fn records_that_retention_took_are_named_and_gone_past() {
    let mut case = Case::new("records gone by retention", "named, counted, status 1; lag 0", 1, &[]);
    case.send(100, 10);
    let all = case.sent();
    case.one_shot(&["-j", "4", "-n", "20"]).run().success();
    case.cluster.delete_records(&case.topic, 0, 60);
    case.one_shot(&["-j", "4", "-e"]).run().status(1).stderr_has("20..60 gone").stderr_has("40 gone before");
    let left = all.into_iter().filter(|sent| !(20..60).contains(&sent.place.1)).collect();
    case.pass_with(left, 0, "20..60 named");
}

#[test]
fn retention_overtakes_a_worker_that_runs() {
    for assignor in ["cooperative-sticky", "range"] {
        let name = match assignor {
            "range" => "the same, --assignor range",
            _ => "retention overtakes a worker that runs",
        };
        let mut case = Case::new(name, "named; the rest handled; lag 0", 2, &[]);
        case.send(40, 10);
        // The first record of a partition waits for `go`, and holds its partition back. A job is free
        // and nothing may run: the partition is paused, and what came beyond the span is dropped.
        let go = case.log().with_extension("go");
        let held = case.log().with_extension("go-0");
        let waits = "\n: >\"$GO-$KQ_RECORD_PARTITION\"; while [ ! -e \"$GO\" ]; do sleep 0.05; done\n";
        let (script, span) = (ONE_SHOT.replacen('\n', waits, 1), SPAN.to_string());
        let flags = ["-j", "3", "--order", "partition", "--max-span", &span, "--assignor", assignor];
        let worker = case.worker(&flags).args(["--shell", &script]).env("GO", &go).spawn();
        wait_until("partition 0 is held back", LONG, || held.exists());
        case.send(100, 10);
        let all = case.sent();
        let low = all.iter().filter(|sent| sent.place.0 == 0).count() as i64 - 10;
        assert!(low > 2 * SPAN, "retention goes well beyond the span: {low}");
        case.cluster.delete_records(&case.topic, 0, low);
        std::fs::write(&go, "").expect("let it go on");
        case.wait_for_no_lag();
        worker.terminate();
        let output = worker.wait().status(1);
        let gone: Vec<(i64, i64)> = output.stderr.lines().filter_map(gone).collect();
        let [(from, to)] = gone[..] else { panic!("one gap: {output}") };
        assert!((1..=SPAN).contains(&from) && to == low, "{from}..{to}, not up to {SPAN}..{low}\n{output}");
        output.stderr_has(&format!("{} gone before", to - from));
        // What was handled lies before the gap or behind it: the oracle knows nothing of what is in it.
        let is_gone = |place: (i32, i64)| place.0 == 0 && (from..to).contains(&place.1);
        let left = all.into_iter().filter(|sent| !is_gone(sent.place)).collect();
        case.pass_with(left, 0, &format!("{from}..{to} named"));
    }
}

/// From which offset on, and before which, a line says that records are gone.
fn gone(line: &str) -> Option<(i64, i64)> {
    let (range, _) = line.split_once(" gone: ")?;
    let (from, to) = range.rsplit_once(' ')?.1.split_once("..")?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

#[test]
fn the_holes_of_a_compacted_topic_hold_nothing_back() {
    let config = [
        "cleanup.policy=compact",
        "segment.ms=200",
        "min.cleanable.dirty.ratio=0.01",
        "delete.retention.ms=0",
    ];
    let mut case = Case::new("compacted topic", "lag 0", 1, &config);
    let mut sent = 0;
    // The last segment is never compacted: a new one begins with what comes after its time.
    wait_until("compaction leaves less than was sent", LONG, || {
        case.send(40, 5);
        sent += 40;
        std::thread::sleep(Duration::from_millis(300));
        case.sent().len() < sent - 40
    });
    // Done before it began, the oracle would see records that the worker did not get, or the other way round.
    let before = case.sent();
    case.one_shot(&["-j", "4", "-e"]).run().success();
    let after = case.sent();
    let left = after.len();
    let kept = before.into_iter().filter(|sent| after.contains(sent)).collect::<Vec<_>>();
    let handled = super::lab::read_log(&case.log());
    let gone = handled.into_iter().filter(|handled| !after.iter().any(|sent| sent.place == handled.place));
    // What was compacted only after it was handled had been sent too.
    let gone = gone.map(|handled| super::oracle::Sent {
        place: handled.place,
        sequence: handled.sequence,
        key: handled.key,
    });
    let all = kept.into_iter().chain(gone).collect();
    case.pass_with(all, 0, &format!("{left} left of {sent}"));
}

#[test]
fn aborted_records_are_not_handled_and_markers_hold_nothing_back() {
    let case = Case::new("transactional topic", "aborted records not seen; lag 0", 1, &[]);
    let mut config = ClientConfig::new();
    let producer: BaseProducer = config
        .set("bootstrap.servers", case.cluster.brokers())
        .set("transactional.id", &case.group)
        .create()
        .expect("make a producer");
    producer.init_transactions(LONG).expect("begin transactions");
    let transaction = |numbers: std::ops::Range<u32>, commits: bool| {
        producer.begin_transaction().expect("begin a transaction");
        for number in numbers {
            let (key, value) = (format!("k{}", number % 3), number.to_string());
            producer.send(BaseRecord::to(&case.topic).key(&key).payload(&value)).expect("send");
        }
        // Its delivery reports must be fetched first.
        producer.flush(LONG).expect("flush");
        let end = if commits { producer.commit_transaction(LONG) } else { producer.abort_transaction(LONG) };
        end.expect("end a transaction");
    };
    transaction(0..10, true);
    transaction(10..20, false);
    let worker = case.one_shot(&["-j", "4"]).spawn();
    case.wait_for_more(1);
    transaction(20..30, true);
    transaction(30..31, false);
    // Behind the last record there are markers only: the lag is still 0 while it runs.
    case.wait_for_no_lag();
    case.end(worker);
    let sent = case.sent();
    assert_eq!(sent.len(), 20, "what is committed: {sent:?}");
    case.pass_with(sent, 0, "11 aborted");
}
