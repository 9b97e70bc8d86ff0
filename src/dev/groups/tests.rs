//! What all groups may take together.

use bytes::Bytes;

use super::*;

fn coordinator() -> (tempfile::TempDir, Coordinator) {
    let folder = tempfile::tempdir().expect("folder");
    let coordinator = Coordinator::open(folder.path().join("offsets")).expect("open");
    (folder, coordinator)
}

/// Joins as a new member of version 3, which is in at once where it is alone.
fn join(coordinator: &Coordinator, group: &str, metadata: usize) -> Joined {
    join_as(coordinator, group, "", metadata)
}

fn join_as(coordinator: &Coordinator, group: &str, member_id: &str, metadata: usize) -> Joined {
    let request = Join {
        member_id: member_id.to_owned(),
        new_id: format!("{group}-1"),
        session_timeout: 60_000,
        rebalance_timeout: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from(vec![0; metadata]))],
        ..Join::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(coordinator.join(group, request))
}

#[test]
fn members_above_what_all_may_hold_are_refused_until_others_leave() {
    let (_folder, coordinator) = coordinator();
    let megabyte = 1_000_000;
    let most = (0..100).take_while(|i| join(&coordinator, &format!("g{i}"), megabyte).error == code::NONE);
    let most = most.count();
    assert_eq!(most, MAX_BYTES / megabyte);
    assert_eq!(join(&coordinator, "late", megabyte).error, code::GROUP_MAX_SIZE_REACHED);
    assert_eq!(join_as(&coordinator, "g0", "g0-1", megabyte).error, code::NONE, "it is in already");
    assert_eq!(coordinator.leave("g0", "g0-1", None), code::NONE);
    assert_eq!(join(&coordinator, "late", megabyte).error, code::NONE);
    for i in 0..most {
        coordinator.leave(&format!("g{i}"), &format!("g{i}-1"), None);
        assert_eq!(coordinator.delete(&format!("g{i}")), code::NONE);
    }
    coordinator.leave("late", "late-1", None);
    coordinator.delete("late");
    assert_eq!(coordinator.lock().bytes, 0);
}

#[test]
fn an_assignment_above_what_all_may_hold_is_refused() {
    let (_folder, coordinator) = coordinator();
    let joined = join(&coordinator, "g", 10);
    let who = Who { member_id: joined.member_id.clone(), generation: joined.generation, ..Who::default() };
    let sync = |bytes: usize| {
        let assignments = vec![(joined.member_id.clone(), Bytes::from(vec![0; bytes]))];
        let request = Sync { who: who.clone(), assignments, ..Sync::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(coordinator.sync("g", request)).error
    };
    assert_eq!(sync(MAX_BYTES), code::GROUP_MAX_SIZE_REACHED);
    assert_eq!(sync(1000), code::NONE);
}

#[test]
fn names_of_groups_are_neither_empty_nor_endless() {
    let (_folder, coordinator) = coordinator();
    for id in [String::new(), "g".repeat(MAX_ID + 1)] {
        assert_eq!(join(&coordinator, &id, 1).error, code::INVALID_GROUP_ID);
    }
    let who = Who::default();
    assert_eq!(coordinator.heartbeat("", &who), code::INVALID_GROUP_ID);
    assert_eq!(coordinator.leave("", "m", None), code::INVALID_GROUP_ID);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    assert_eq!(runtime.block_on(coordinator.sync("", Sync::default())).error, code::INVALID_GROUP_ID);
}

#[test]
fn commits_of_made_up_groups_are_bounded() {
    let (_folder, coordinator) = coordinator();
    let admin = Who { generation: -1, ..Who::default() };
    let commit = |group: &str| {
        let offsets = (0..1000).map(|partition| {
            let committed = Committed { offset: 1, epoch: -1, metadata: "m".repeat(MAX_METADATA) };
            ("t".to_owned(), partition, committed)
        });
        coordinator.commit(group, &admin, offsets.collect())[0]
    };
    let most = (0..100).take_while(|i| commit(&format!("g{i}")) == code::NONE).count();
    // The last one may go above.
    assert!(most <= MAX_BYTES / 4_000_000 + 1, "{most}");
    assert_eq!(commit("late"), code::GROUP_MAX_SIZE_REACHED);
    assert_eq!(commit("g0"), code::NONE, "an offset that exists can be set again");
    assert_eq!(coordinator.delete("g0"), code::NONE);
    assert_eq!(coordinator.delete("g1"), code::NONE);
    assert_eq!(commit("late"), code::NONE);
}
