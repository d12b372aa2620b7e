use super::*;

const WALL: Time = Time::from_seconds(1_790_000_000);

fn at(seconds: u64) -> Span {
    Span::from_seconds(seconds)
}

fn candidate(identity: &str) -> Candidate {
    Candidate::new(identity.to_owned(), Terms::default())
}

fn held_by(holder: &str, version: &str) -> Versioned {
    let record = Record { holder: Some(holder.to_owned()), lease: at(15), ..Record::default() };
    Versioned { record, version: version.to_owned() }
}

/// Reads and writes until it leads.
fn leader(identity: &str, now: Span) -> Candidate {
    let mut candidate = candidate(identity);
    candidate.read(None, now);
    let Step::Write { record, version: None } = candidate.next(now, WALL) else { panic!("it is free") };
    candidate.written(record, Outcome::Landed("1".to_owned()), now, now);
    candidate
}

#[test]
fn a_free_record_is_taken_at_once_and_renewed_every_two_seconds() {
    let mut leader = leader("a", at(0));
    assert!(leader.leads(at(0)));
    assert_eq!(leader.next(at(1), WALL), Step::Wait(at(2)));
    let Step::Write { record, version } = leader.next(at(2), WALL + at(2)) else {
        panic!("a renewal is due")
    };
    assert_eq!((record.acquired, record.renewed, record.transitions), (WALL, WALL + at(2), 0));
    assert_eq!(version.as_deref(), Some("1"));
    leader.written(record, Outcome::Landed("2".to_owned()), at(2), at(3));
    assert_eq!(leader.may_write_until(), Some(at(2 + 9)), "counted from the start of the renewal");
}

#[test]
fn a_record_is_taken_over_only_after_it_was_seen_unchanged_for_a_whole_lease() {
    let mut standby = candidate("b");
    standby.read(Some(held_by("a", "1")), at(100));
    assert_eq!(standby.holder(), Some("a"));
    for seconds in [103, 107, 111] {
        assert_eq!(standby.next(at(seconds), WALL), Step::Read);
        standby.read(Some(held_by("a", "1")), at(seconds));
    }
    // A sign of life, late as it is.
    standby.read(Some(held_by("a", "2")), at(114));
    standby.read(Some(held_by("a", "2")), at(128));
    assert!(!matches!(standby.next(at(128), WALL), Step::Write { .. }));
    standby.read(Some(held_by("a", "2")), at(129));
    let Step::Write { record, version } = standby.next(at(129), WALL) else { panic!("15 s have passed") };
    assert_eq!((record.holder.as_deref(), record.transitions), (Some("b"), 1));
    assert_eq!(version.as_deref(), Some("2"));
    assert!(!standby.leads(at(129)), "not before the write has landed");
    standby.written(record, Outcome::Refused, at(129), at(129));
    assert!(!standby.leads(at(130)), "another was faster");
}

#[test]
fn times_in_the_record_are_not_believed() {
    let mut standby = candidate("b");
    let mut long_ago = held_by("a", "1");
    long_ago.record.renewed = WALL - at(86_400);
    standby.read(Some(long_ago), at(5));
    assert!(!matches!(standby.next(at(19), WALL), Step::Write { .. }));
}

#[test]
fn a_holder_that_asks_for_longer_gets_it() {
    let mut standby = candidate("b");
    let mut patient = held_by("a", "1");
    patient.record.lease = at(60);
    standby.read(Some(patient.clone()), at(0));
    standby.read(Some(patient.clone()), at(59));
    assert!(!matches!(standby.next(at(59), WALL), Step::Write { .. }));
    standby.read(Some(patient), at(60));
    assert!(matches!(standby.next(at(60), WALL), Step::Write { .. }));
}

#[test]
fn a_leader_that_cannot_renew_stops_writing_before_it_stops_leading() {
    let mut leader = leader("a", at(0));
    let Step::Write { record, .. } = leader.next(at(2), WALL) else { panic!("a renewal is due") };
    leader.written(record, Outcome::Unknown, at(2), at(6));
    assert_eq!((leader.may_write_until(), leader.leads(at(9))), (Some(at(9)), true));
    assert!(!leader.leads(at(10)));
    assert_eq!(leader.next(at(8), WALL), Step::Read, "nobody knows what the record says now");
}

#[test]
fn a_write_whose_answer_was_lost_is_found_and_followed_by_one_that_counts() {
    let mut candidate = candidate("a");
    candidate.read(None, at(0));
    let Step::Write { record, .. } = candidate.next(at(0), WALL) else { panic!("it is free") };
    candidate.written(record.clone(), Outcome::Unknown, at(0), at(4));
    assert!(!candidate.leads(at(4)));
    candidate.read(Some(Versioned { record, version: "1".to_owned() }), at(9));
    let Step::Write { record, version } = candidate.next(at(9), WALL) else { panic!("it is ours") };
    assert_eq!(version.as_deref(), Some("1"));
    candidate.written(record, Outcome::Landed("2".to_owned()), at(9), at(9));
    assert!(candidate.leads(at(9)));
}

#[test]
fn a_leader_that_reads_of_another_leads_no_more() {
    let mut leader = leader("a", at(0));
    let Step::Write { record, .. } = leader.next(at(2), WALL) else { panic!("a renewal is due") };
    leader.written(record, Outcome::Refused, at(2), at(2));
    assert!(leader.leads(at(3)), "it may have been an edit by hand");
    assert_eq!(leader.next(at(3), WALL), Step::Read);
    leader.read(Some(held_by("b", "7")), at(3));
    assert_eq!((leader.leads(at(3)), leader.may_write_until()), (false, None));
}

#[test]
fn a_record_deleted_by_hand_is_not_taken_before_its_holder_must_have_noticed() {
    let mut standby = candidate("b");
    standby.read(Some(held_by("a", "1")), at(0));
    standby.read(None, at(20));
    assert!(!matches!(standby.next(at(25), WALL), Step::Write { .. }));
    standby.read(None, at(35));
    assert!(matches!(standby.next(at(35), WALL), Step::Write { version: None, .. }));
    let mut holder = leader("a", at(0));
    holder.read(None, at(3));
    assert!(!holder.leads(at(3)));
}

#[test]
fn a_lease_given_back_is_free_at_once() {
    let mut leader = leader("a", at(0));
    let (record, version) = leader.release(at(1), WALL).unwrap();
    assert_eq!((record.holder.as_deref(), version.as_str(), leader.leads(at(1))), (None, "1", false));
    assert_eq!(leader.release(at(1), WALL), None);
    let mut standby = candidate("b");
    standby.read(Some(Versioned { record, version: "2".to_owned() }), at(50));
    let Step::Write { record, .. } = standby.next(at(50), WALL) else { panic!("it is free") };
    assert_eq!(record.transitions, 1);
}

#[test]
fn candidates_do_not_try_in_step() {
    let waits = |identity: &str| -> Vec<Span> {
        let mut candidate = candidate(identity);
        let tries = 0..20;
        tries
            .map(|tried| {
                let now = Span::from_millis(tried * 17);
                candidate.read(Some(held_by("z", "1")), now);
                match candidate.next(now, WALL) {
                    Step::Wait(until) => until.minus(now),
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    };
    let (a, b) = (waits("plimsoll-7f9c-abcde_1"), waits("plimsoll-7f9c-abcdf_1"));
    assert!(a.iter().all(|wait| (at(2)..at(4)).contains(wait)), "{a:?}");
    assert!(a.iter().zip(&b).filter(|(a, b)| a == b).count() <= 1);
}
