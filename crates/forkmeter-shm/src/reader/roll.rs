//! Which shared segments there were at the last read: files that are deleted go one after the other, and what is left
//! in between shows counters that are too low.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::name::Role;
use super::plan::Segments;
use super::segment::Segment;
use super::source::Identity;
use crate::layout::Mark;
use crate::workers::RollStamp;

/// How long segments of a kind are left out while some of them are missing: longer than any deletion takes. After that
/// whoever deleted some of them meant those.
const PATIENCE: Duration = Duration::from_secs(1);
const KINDS: [Role; 3] = [Role::Counter, Role::Histogram, Role::Summary];

/// Holds what shared segments were read last.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// What the file of workers says now.
    pub(super) stamp: Option<RollStamp>,
    /// What it said then.
    before: Option<RollStamp>,
    members: Vec<Member>,
    missing_since: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
struct Member {
    role: Role,
    name: OsString,
    identity: Identity,
}

impl Roll {
    /// Tells whether no kind has lost only some of its segments without a word from a worker.
    pub(super) fn is_whole(&self, directory: &Path, segments: &Segments) -> bool {
        let mut kinds = KINDS.iter();
        kinds.all(|role| !self.lacks(*role, directory, segments))
    }

    fn lacks(&self, role: Role, directory: &Path, segments: &Segments) -> bool {
        let is_announced = match (self.before, self.stamp) {
            (None, _) => true,
            (Some(before), Some(now)) => before.inode == now.inode && before != now,
            (Some(_), None) => false,
        };
        if is_announced {
            return false;
        }
        let is_there = |member: &&Member| {
            let segment = segments.get(&member.name);
            let identity = segment.map(|segment| segment.identity);
            // One that cannot be read is not missing.
            let identity = identity.or_else(|| Identity::of(&directory.join(&member.name)));
            identity == Some(member.identity)
        };
        let of_kind = || self.members.iter().filter(|member| member.role == role);
        // What is missing was folded into it.
        let is_new_sum = |name: &OsString, segment: &Segment| {
            let is_known =
                |member: &Member| member.name == *name && member.identity == segment.identity;
            segment.role == role && segment.mark == Mark::Retired && !of_kind().any(is_known)
        };
        if segments.iter().any(|(name, one)| is_new_sum(name, one)) {
            return false;
        }
        let there = of_kind().filter(is_there).count();
        there > 0 && there < of_kind().count()
    }

    /// Leaves out the kinds that lack segments, for a while, and otherwise remembers what there is. Tells whether
    /// something is left out.
    pub(super) fn settle(&mut self, directory: &Path, segments: &mut Segments) -> bool {
        let missing = KINDS.map(|role| self.lacks(role, directory, segments));
        if missing.contains(&true) {
            let since = *self.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() < PATIENCE {
                for (role, _) in KINDS.iter().zip(missing).filter(|(_, missing)| *missing) {
                    let of_kind = segments.values_mut().filter(|one| one.role == *role);
                    of_kind.for_each(|segment| segment.counted = false);
                }
                return true;
            }
        }
        self.missing_since = None;
        self.before = self.stamp;
        // What was folded, and does not count, is about to go.
        let is_member = |one: &Segment| {
            KINDS.contains(&one.role)
                && matches!(one.mark, Mark::Shared | Mark::Retired)
                && one.counted
        };
        let members = segments.iter().filter(|(_, one)| is_member(one));
        let is_known = |member: &Member| {
            let segment = segments.get(&member.name);
            segment.is_some_and(|one| one.identity == member.identity && is_member(one))
        };
        if self.members.len() != members.clone().count() || !self.members.iter().all(is_known) {
            let members = members.map(|(name, one)| Member {
                role: one.role,
                name: name.clone(),
                identity: one.identity,
            });
            self.members = members.collect();
        }
        false
    }
}
