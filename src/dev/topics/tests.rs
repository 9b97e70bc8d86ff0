//! Names, counts and the file that lists the topics.

use super::*;

fn topics() -> (tempfile::TempDir, Topics) {
    let folder = tempfile::tempdir().expect("folder");
    let topics = Topics::open(folder.path(), Defaults::default(), |_| ()).expect("open");
    (folder, topics)
}

fn create(topics: &Topics, name: &str) -> Result<(), Code> {
    topics.create(name, 1, BTreeMap::new()).map(|_| ()).map_err(|(code, _)| code)
}

#[test]
fn names_that_differ_in_dots_and_underscores_collide() {
    let (_folder, topics) = topics();
    assert_eq!(create(&topics, "a.b_c"), Ok(()));
    assert_eq!(create(&topics, "a.b_c"), Err(code::TOPIC_ALREADY_EXISTS));
    for name in ["a_b_c", "a.b.c", "a_b.c"] {
        assert_eq!(create(&topics, name), Err(code::INVALID_TOPIC_EXCEPTION), "{name}");
    }
    assert_eq!(create(&topics, "a-b_c"), Ok(()));
    assert_eq!(create(&topics, "a.b_d"), Ok(()));
}

#[test]
fn topics_made_together_are_there_after_a_restart_and_a_bad_one_stops_no_other() {
    let (folder, topics) = topics();
    let new = ["a", "no spaces", "b", "a"].map(|name| (name, 3, BTreeMap::new()));
    let made = topics.create_all(new);
    let made: Vec<_> = made.iter().map(|made| made.as_ref().map_or_else(|e| e.0, |_| code::NONE)).collect();
    assert_eq!(made, [code::NONE, code::INVALID_TOPIC_EXCEPTION, code::NONE, code::TOPIC_ALREADY_EXISTS]);
    drop(topics);
    let topics = Topics::open(folder.path(), Defaults::default(), |_| ()).expect("open");
    assert_eq!((topics.all().len(), topics.total()), (2, 6));
}

#[test]
fn the_id_of_a_topic_is_its_own_and_stays_over_a_restart() {
    let id = |topics: &Topics, name| topics.find(name).expect("there").id;
    let (folder, topics) = topics();
    assert_eq!(create(&topics, "a"), Ok(()));
    let first = id(&topics, "a");
    topics.delete("a").expect("delete");
    assert_eq!(create(&topics, "a"), Ok(()));
    assert_eq!(create(&topics, "b"), Ok(()));
    let (a, b) = (id(&topics, "a"), id(&topics, "b"));
    assert!(first != a && a != b);
    let open = || Topics::open(folder.path(), Defaults::default(), |_| ()).expect("open");
    let topics = open();
    assert_eq!((id(&topics, "a"), id(&topics, "b")), (a, b));
    assert_eq!(topics.by_id()[&b].name, "b");
    // A list that was written before there were ids.
    std::fs::write(folder.path().join("topics.json"), r#"[{"name":"b","partitions":1}]"#).expect("write");
    let given = id(&open(), "b");
    assert_eq!(id(&open(), "b"), given);
}

#[test]
fn partitions_of_all_topics_are_counted() {
    let (_folder, topics) = topics();
    assert_eq!(create(&topics, "a"), Ok(()));
    topics.grow("a", 5, false).expect("grow");
    assert_eq!(create(&topics, "b"), Ok(()));
    assert_eq!(topics.total(), 6);
    let most = (MAX_PARTITIONS - 6) as i32;
    assert_eq!(topics.check_new("c", most, &BTreeMap::new()), Ok(()));
    assert!(topics.check_new("c", most + 1, &BTreeMap::new()).is_err());
    assert!(topics.grow("a", most + 6, true).is_err());
    topics.delete("a").expect("delete");
    assert_eq!(topics.total(), 1);
}
