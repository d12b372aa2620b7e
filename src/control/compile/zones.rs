//! The loss of zones, from the spec to what `decide` reads.

use super::Faults;
use crate::api::Headroom;
use crate::capacity::Zones;

impl Faults {
    /// The zones as declared; none where nothing is provided for, or zones are to be seen.
    pub(super) fn zones(&mut self, headroom: &Headroom) -> Option<Zones> {
        let lost = headroom.survive_zones;
        self.require(lost <= 15, || "headroom.surviveZones: write 0 to 15".to_owned());
        let all = headroom.zones?;
        self.require((2..=16).contains(&all), || "headroom.zones: write 2 to 16".to_owned());
        self.require(lost < all, || {
            format!("headroom.surviveZones {lost} must be less than headroom.zones {all}: at least one must remain")
        });
        (lost > 0 && lost < all).then_some(Zones { all, lost })
    }
}
