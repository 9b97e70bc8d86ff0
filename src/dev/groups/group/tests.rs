//! The life of a group, step by step on a clock of its own.

use super::join::MAX_PENDING;
use super::*;
use crate::dev::groups::messages::{Join, Sync, Waiter};
use bytes::Bytes;
use proptest::prelude::*;

/// A group and the number of the next request.
#[derive(Default)]
struct Lab {
    group: Group,
    asked: u64,
    now: Millis,
}

impl Lab {
    fn ask(&mut self) -> Waiter {
        self.asked += 1;
        Waiter(self.asked)
    }

    fn request(id: &str) -> Join {
        Join {
            member_id: id.to_owned(),
            session_timeout: 1000,
            rebalance_timeout: 5000,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(b"m"))],
            ..Join::default()
        }
    }

    /// A new member of version 3: it needs no second request.
    fn join_new(&mut self, new_id: &str) -> Vec<Answer> {
        let waiter = self.ask();
        let request = Join { new_id: new_id.to_owned(), ..Self::request("") };
        self.group.join(request, waiter, self.now);
        self.group.take_answers()
    }

    fn join_again(&mut self, id: &str) -> Vec<Answer> {
        let waiter = self.ask();
        self.group.join(Self::request(id), waiter, self.now);
        self.group.take_answers()
    }

    fn join_static(&mut self, new_id: &str) -> Vec<Answer> {
        let waiter = self.ask();
        let request = Join { new_id: new_id.to_owned(), instance_id: Some("i".into()), ..Self::request("") };
        self.group.join(request, waiter, self.now);
        self.group.take_answers()
    }

    fn who(&self, id: &str) -> Who {
        Who { member_id: id.to_owned(), instance_id: None, generation: self.group.generation }
    }

    fn sync(&mut self, id: &str, assignments: &[&str]) -> Vec<Answer> {
        let waiter = self.ask();
        let assignments =
            assignments.iter().map(|id| ((*id).to_owned(), Bytes::copy_from_slice(id.as_bytes()))).collect();
        let request = Sync { who: self.who(id), assignments, ..Sync::default() };
        self.group.sync(request, waiter, self.now);
        self.group.take_answers()
    }

    fn heartbeat(&mut self, id: &str) -> Code {
        let who = self.who(id);
        self.group.heartbeat(&who, self.now)
    }

    fn wait(&mut self, time: Millis) -> Vec<Answer> {
        self.now += time;
        self.group.tick(self.now);
        self.group.take_answers()
    }

    fn join_pending(&mut self, new_id: &str) -> Vec<Answer> {
        let waiter = self.ask();
        let request = Join { new_id: new_id.to_owned(), id_required: true, ..Self::request("") };
        self.group.join(request, waiter, self.now);
        self.group.take_answers()
    }

    /// Members `a` (the leader) and `b` in a stable group.
    fn two() -> Self {
        let mut lab = Self::default();
        joined(&lab.join_new("a"));
        assert!(lab.join_new("b").is_empty());
        assert_eq!(lab.join_again("a").len(), 2);
        assert!(lab.sync("b", &[]).is_empty());
        assert_eq!(lab.sync("a", &["a", "b"]).len(), 2);
        assert_eq!(lab.group.state, State::Stable);
        lab
    }
}

/// The one answer there is, to a `JoinGroup`.
fn joined(answers: &[Answer]) -> Joined {
    match answers {
        [Answer::Join(_, joined)] => joined.clone(),
        other => panic!("{other:?}"),
    }
}

fn synced(answers: &[Answer]) -> Synced {
    match answers {
        [Answer::Sync(_, synced)] => synced.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_member_must_come_again_with_its_id_from_version_4_on() {
    let mut lab = Lab::default();
    let waiter = lab.ask();
    let request = Join { new_id: "a".into(), id_required: true, ..Lab::request("") };
    lab.group.join(request, waiter, 0);
    let refused = joined(&lab.group.take_answers());
    assert_eq!((refused.error, refused.member_id.as_str()), (code::MEMBER_ID_REQUIRED, "a"));
    let accepted = joined(&lab.join_again("a"));
    assert_eq!((accepted.error, accepted.generation, accepted.leader.as_str()), (0, 1, "a"));
    assert_eq!(joined(&lab.join_again("stranger")).error, code::UNKNOWN_MEMBER_ID);
}

#[test]
fn an_id_that_is_not_used_within_the_session_is_forgotten() {
    let mut lab = Lab::default();
    let waiter = lab.ask();
    lab.group.join(Join { new_id: "a".into(), id_required: true, ..Lab::request("") }, waiter, 0);
    lab.group.take_answers();
    lab.wait(1000);
    assert_eq!(joined(&lab.join_again("a")).error, code::UNKNOWN_MEMBER_ID);
    assert!(lab.group.is_empty());
}

#[test]
fn the_barrier_holds_until_all_members_have_joined_again() {
    let mut lab = Lab::two();
    assert!(lab.join_new("c").is_empty());
    assert_eq!(lab.heartbeat("b"), code::REBALANCE_IN_PROGRESS);
    assert!(lab.join_again("a").is_empty());
    let answers = lab.join_again("b");
    assert_eq!(answers.len(), 3);
    for answer in answers {
        let Answer::Join(_, joined) = answer else { panic!("{answer:?}") };
        assert_eq!((joined.error, joined.generation), (0, 3));
        assert_eq!(joined.members.len(), if joined.member_id == "a" { 3 } else { 0 });
    }
}

#[test]
fn each_member_gets_its_own_assignment_when_the_leader_brings_it() {
    let mut lab = Lab::two();
    assert_eq!(synced(&lab.sync("b", &[])).assignment, "b");
    assert_eq!(lab.heartbeat("a"), code::NONE);
    let stale = Who { generation: 1, ..lab.who("a") };
    assert_eq!(lab.group.heartbeat(&stale, 0), code::ILLEGAL_GENERATION);
    assert_eq!(lab.group.may_commit(&stale, 0), code::ILLEGAL_GENERATION);
    assert_eq!(lab.heartbeat("nobody"), code::UNKNOWN_MEMBER_ID);
    let admin = Who { generation: -1, ..Who::default() };
    assert_ne!(lab.group.may_commit(&admin, 0), code::NONE);
}

#[test]
fn a_member_that_is_silent_for_its_session_is_replaced() {
    let mut lab = Lab::two();
    lab.now = 900;
    assert_eq!(lab.heartbeat("a"), code::NONE);
    assert!(lab.wait(100).is_empty());
    assert_eq!(lab.group.state, State::PreparingRebalance);
    assert_eq!(lab.heartbeat("b"), code::UNKNOWN_MEMBER_ID);
    let alone = joined(&lab.join_again("a"));
    assert_eq!((alone.generation, alone.members.len()), (3, 1));
}

#[test]
fn who_does_not_join_again_in_time_is_left_behind() {
    let mut lab = Lab::two();
    assert!(lab.join_new("c").is_empty());
    assert!(lab.join_again("a").is_empty());
    for _ in 0..10 {
        lab.now += 490;
        lab.heartbeat("b");
    }
    assert_eq!(lab.wait(100).len(), 2);
    assert!(!lab.group.members.contains_key("b"));
    assert_eq!(lab.group.leader, "a");
}

#[test]
fn a_leave_during_the_join_opens_the_barrier() {
    let mut lab = Lab::two();
    assert!(lab.join_new("c").is_empty());
    assert!(lab.join_again("a").is_empty());
    assert_eq!(lab.group.leave("b", None, lab.now), code::NONE);
    assert_eq!(lab.group.take_answers().len(), 2);
    assert_eq!(lab.group.state, State::CompletingRebalance);
    assert_eq!(lab.group.leave("b", None, lab.now), code::UNKNOWN_MEMBER_ID);
}

#[test]
fn who_waits_for_the_leader_is_told_to_join_again_when_the_leader_leaves() {
    let mut lab = Lab::two();
    lab.join_again("a");
    assert_eq!(lab.join_again("b").len(), 2);
    assert!(lab.sync("b", &[]).is_empty());
    lab.group.leave("a", None, lab.now);
    assert_eq!(synced(&lab.group.take_answers()).error, code::REBALANCE_IN_PROGRESS);
    assert_eq!(lab.group.leader, "b");
}

#[test]
fn who_joined_and_never_syncs_is_removed_after_the_rebalances_time() {
    let mut lab = Lab::two();
    lab.join_again("a");
    assert_eq!(lab.join_again("b").len(), 2);
    // The leader brings the assignment; b has a part of it and never asks.
    assert_eq!(lab.sync("a", &["a", "b"]).len(), 1);
    assert_eq!(lab.group.state, State::Stable);
    for _ in 0..10 {
        lab.wait(500);
        assert_eq!(lab.heartbeat("a"), if lab.now < 5000 { 0 } else { code::REBALANCE_IN_PROGRESS });
        lab.heartbeat("b");
    }
    assert_eq!(lab.group.members.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(joined(&lab.join_again("a")).error, code::NONE);
    lab.sync("a", &["a"]);
    assert_eq!(lab.group.next_deadline(), Some(lab.now + 1000), "only its session");
}

#[test]
fn ids_that_are_never_used_are_bounded() {
    let mut lab = Lab::default();
    for i in 0..MAX_PENDING {
        assert_eq!(joined(&lab.join_pending(&format!("m{i}"))).error, code::MEMBER_ID_REQUIRED);
    }
    assert_eq!(joined(&lab.join_pending("more")).error, code::GROUP_MAX_SIZE_REACHED);
    lab.wait(1000);
    assert_eq!(joined(&lab.join_pending("more")).error, code::MEMBER_ID_REQUIRED);
}

#[test]
fn a_static_member_takes_its_place_again_without_a_rebalance() {
    let mut lab = Lab::default();
    assert_eq!(joined(&lab.join_static("i-1")).leader, "i-1");
    lab.sync("i-1", &["i-1"]);
    let back = joined(&lab.join_static("i-2"));
    assert_eq!((back.error, back.generation, back.member_id.as_str()), (0, 1, "i-2"));
    // The old leader's id: the new member must not assign again.
    assert_eq!((back.leader.as_str(), lab.group.state), ("i-1", State::Stable));
    let old = Who { instance_id: Some("i".into()), ..lab.who("i-1") };
    assert_eq!(lab.group.heartbeat(&old, 0), code::FENCED_INSTANCE_ID);
    assert_eq!(synced(&lab.sync("i-2", &[])).assignment, "i-1");
    assert_eq!(lab.group.leave("", Some("i"), 0), code::NONE);
    assert_eq!(lab.group.state, State::Empty);
}

#[test]
fn members_without_a_common_assignor_are_refused() {
    let mut lab = Lab::two();
    let waiter = lab.ask();
    let other = Join { protocols: vec![("sticky".into(), Bytes::new())], ..Lab::request("") };
    lab.group.join(other, waiter, 0);
    assert_eq!(joined(&lab.group.take_answers()).error, code::INCONSISTENT_GROUP_PROTOCOL);
}

proptest! {
    #[test]
    fn every_waiter_is_answered_once_and_time_brings_every_group_to_rest(
        steps in proptest::collection::vec((0_u8..6, 0_u8..5, 0_u64..1500), 1..80),
    ) {
        let mut lab = Lab::default();
        let mut answered = std::collections::HashSet::new();
        let mut note = |answers: Vec<Answer>| {
            for answer in answers {
                let (Answer::Join(waiter, _) | Answer::Sync(waiter, _)) = answer;
                assert!(answered.insert(waiter), "answered twice");
            }
        };
        for (step, member, time) in steps {
            let id = format!("m{member}");
            let answers = match step {
                0 => lab.join_new(&format!("m{}", lab.asked)),
                1 => lab.join_again(&id),
                2 => lab.sync(&id, &[]),
                3 => {
                    lab.heartbeat(&id);
                    Vec::new()
                }
                4 => {
                    lab.group.leave(&id, None, lab.now);
                    lab.group.take_answers()
                }
                _ => lab.wait(time),
            };
            note(answers);
        }
        // Nobody says anything more: in the end all are gone, and all who asked have an answer.
        for _ in 0..200 {
            let Some(at) = lab.group.next_deadline() else { break };
            let answers = lab.wait(at.saturating_sub(lab.now));
            note(answers);
        }
        prop_assert!(lab.group.is_empty());
        prop_assert_eq!(lab.group.state, State::Empty);
        prop_assert_eq!(answered.len() as u64, lab.asked);
    }
}
