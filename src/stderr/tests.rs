//! A writer whose stderr is not read, and one that is told the same thing again and again.

use super::*;
use std::io::{BufRead as _, BufReader};

#[test]
fn lines_that_are_not_read_are_dropped_and_counted_and_the_rest_keeps_its_order() {
    let (reader, stderr) = io::pipe().unwrap();
    let writer = Writer::start(stderr, Form::Text, Equal::Count);
    writer.send(b"0\n".to_vec());
    assert!(writer.flush());
    let long = "x".repeat(1000);
    let mut sent = 0;
    while writer.queue.lock().dropped < 3 {
        sent += 1;
        writer.offer(format!("{sent} {long}\n").into_bytes());
    }
    assert!(!writer.flush());
    let lines = BufReader::new(reader).lines().map(Result::unwrap);
    let read: Vec<String> = lines.take(sent - 3 + 2).collect();
    let numbers: Vec<usize> =
        read[..sent - 2].iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..=sent - 3).collect::<Vec<_>>());
    assert_eq!(read.last().unwrap(), "kq: 3 lines left out: stderr was not read");
}

/// A writer that had to drop lines, the end that is to be read, and how many lines it dropped.
fn overfull() -> (io::PipeReader, &'static Writer, u64) {
    let (reader, stderr) = io::pipe().unwrap();
    let writer = Writer::start(stderr, Form::Text, Equal::Count);
    writer.draw(vec![b'x'; 1 << 20]);
    while writer.queue.lock().writing.is_none() {
        std::thread::yield_now();
    }
    writer.draw(vec![b'y'; BYTES]);
    while writer.queue.lock().dropped < 3 {
        writer.offer(b"more\n".to_vec());
    }
    let dropped = writer.queue.lock().dropped;
    (reader, writer, dropped)
}

#[test]
fn a_last_line_is_taken_without_room_and_the_end_waits_for_it() {
    let (reader, writer, dropped) = overfull();
    writer.keep(&Line::new(Level::Error, "why"));
    let end = std::thread::spawn(|| writer.wait_until_written(Waits::UntilHurried));
    let lines = BufReader::new(reader).lines().map(Result::unwrap);
    let last: Vec<String> = lines.skip_while(|line| !line.contains("left out")).take(2).collect();
    let count = format!("{dropped} lines left out: stderr was not read");
    assert!(last[0].ends_with(&count) && last[1] == "kq: why", "{last:?}");
    assert!(end.join().unwrap());
}

#[test]
fn the_end_waits_for_the_count_of_the_lines_that_are_left_out() {
    let (mut reader, writer, _) = overfull();
    let end = std::thread::spawn(|| {
        let is_told = writer.wait_until_written(Waits::UntilHurried);
        let queue = writer.queue.lock();
        (is_told, queue.dropped, queue.taken, queue.written)
    });
    while writer.queue.lock().dropped > 0 {
        std::thread::yield_now();
    }
    std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
    assert_eq!(end.join().unwrap(), (true, 0, 3, 3));
}

#[test]
fn a_picture_is_left_out_while_the_one_before_is_not_taken() {
    let (reader, stderr) = io::pipe().unwrap();
    let writer = Writer::start(stderr, Form::Text, Equal::Count);
    writer.draw(vec![b'x'; 1 << 20]);
    while !writer.queue.lock().is_stuck() {
        std::thread::yield_now();
    }
    writer.draw(b"y".to_vec());
    assert_eq!(writer.queue.lock().taken, 1);
    drop(reader);
}

/// What a writer of this form has written at its end.
fn written(form: Form, say: impl FnOnce(&Writer)) -> String {
    let (mut reader, stderr) = io::pipe().unwrap();
    let writer = Writer::start(stderr, form, Equal::Count);
    say(writer);
    writer.tell_counts();
    assert!(writer.wait_until_written(Waits::UntilHurried));
    // The writer lives as long as the process, and holds its end of the pipe.
    writer.send(b"the end".to_vec());
    let mut text = String::new();
    while !text.ends_with("the end") {
        let mut piece = [0; 4096];
        let length = io::Read::read(&mut reader, &mut piece).unwrap();
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    text.trim_end_matches("the end").to_owned()
}

#[test]
fn equal_lines_are_written_once_and_counted_before_the_last_line() {
    let text = written(Form::Text, |writer| {
        for _ in 0..13 {
            writer.say(&Line::new(Level::Info, "no room"));
        }
        writer.say(&Line::new(Level::Info, "another"));
        for _ in 0..2 {
            writer.keep(&Line::new(Level::Error, "the cause"));
        }
    });
    let expected =
        "kq: no room\nkq: another\nkq: no room (12 more like this in 1 s)\nkq: the cause\nkq: the cause\n";
    assert_eq!(text, expected);
}

#[test]
fn each_line_of_a_command_is_passed_on_though_they_are_equal() {
    let text = written(Form::Text, |writer| {
        for _ in 0..3 {
            writer.pass_on("t[0]@1", b"again");
        }
    });
    assert_eq!(text, "t[0]@1: again\n".repeat(3));
}

#[test]
fn what_is_left_out_is_said_in_the_form_of_the_other_lines() {
    let (reader, stderr) = io::pipe().unwrap();
    let writer = Writer::start(stderr, Form::Json, Equal::Count);
    writer.draw(vec![b'x'; 1 << 20]);
    while writer.queue.lock().writing.is_none() {
        std::thread::yield_now();
    }
    writer.draw(vec![b'y'; BYTES]);
    while writer.queue.lock().dropped < 1 {
        writer.offer(b"more\n".to_vec());
    }
    writer.keep(&Line::new(Level::Error, "why"));
    let lines = BufReader::new(reader).lines().map(Result::unwrap);
    let last: Vec<String> = lines.skip_while(|line| !line.contains("left out")).take(2).collect();
    assert!(
        last[0].ends_with(r#""level":"error","message":"1 lines left out: stderr was not read"}"#),
        "{last:?}"
    );
    assert!(last[1].ends_with(r#""level":"error","message":"why"}"#), "{last:?}");
}
