//! Identities: what objects and policies are called inside.

use std::fmt;
use std::io;

use jiff::Timestamp;

use crate::control::PodId;
use crate::time::Time;

/// A stable 64-bit hash (FNV-1a) of a Kubernetes uid: an eighth of its text, and the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u64);

impl Uid {
    /// The identity of the object with this uid.
    pub fn of(uid: &str) -> Self {
        Self(hash(uid.as_bytes()))
    }

    /// The same, as `decide` knows it.
    pub const fn pod(self) -> PodId {
        PodId(self.0)
    }
}

/// A policy's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A workload: what a scale target reference points at. The version is left out, since every version of a kind is
/// the same object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl TargetKey {
    /// The workload that a reference from `namespace` points at.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A Kubernetes timestamp as a moment.
pub fn moment(timestamp: Timestamp) -> Time {
    Time::from_millis(timestamp.as_millisecond())
}

/// A moment as a Kubernetes timestamp; the epoch for what no calendar holds.
pub fn timestamp(moment: Time) -> Timestamp {
    Timestamp::from_millisecond(moment.millis()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// FNV-1a, 64 bits.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Fnv::default();
    hasher.feed(bytes);
    hasher.0
}

/// FNV-1a as a sink for serializers, so that nothing need be serialized into memory to be compared.
pub(super) struct Fnv(pub(super) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_the_published_fnv_1a() {
        // From the reference test vectors of the FNV authors; they may never change, since records hold them.
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(Uid::of(text).0, expected, "{text}");
        }
    }

    #[test]
    fn identities_of_similar_uids_differ() {
        let uids: std::collections::BTreeSet<_> =
            (0..100_000).map(|n| Uid::of(&format!("7c9e6679-7425-40de-944b-e07fc1{n:06x}"))).collect();
        assert_eq!(uids.len(), 100_000);
    }

    #[test]
    fn a_target_is_the_same_in_every_version_of_its_group() {
        assert_eq!(
            TargetKey::new("apps/v1", "Deployment", "shop", "web"),
            TargetKey::new("apps/v1beta1", "Deployment", "shop", "web")
        );
        assert_eq!(TargetKey::new("v1", "ReplicationController", "shop", "web").group, "");
    }

    #[test]
    fn moments_survive_the_way_there_and_back() {
        let time = Time::from_millis(1_790_000_000_123);
        assert_eq!(moment(timestamp(time)), time);
    }
}
