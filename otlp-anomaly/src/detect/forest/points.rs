//! The points that the trees have sampled, each kept once.

/// Points of `width` coordinates, counted by how many hold them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Points {
    width: usize,
    coordinates: Vec<f32>,
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl Points {
    pub(super) const fn new(width: usize) -> Self {
        Self { width, coordinates: Vec::new(), holders: Vec::new(), free: Vec::new() }
    }

    /// Keeps a point that nobody holds yet.
    pub(super) fn add(&mut self, point: &[f32]) -> u32 {
        if let Some(place) = self.free.pop() {
            let begin = place as usize * self.width;
            if let Some(slot) = self.coordinates.get_mut(begin..begin + self.width) {
                slot.copy_from_slice(point);
            }
            return place;
        }
        self.coordinates.extend_from_slice(point);
        self.holders.push(0);
        u32::try_from(self.holders.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, place: u32) -> &[f32] {
        let begin = place as usize * self.width;
        self.coordinates.get(begin..begin + self.width).unwrap_or_default()
    }

    pub(super) fn hold(&mut self, place: u32) {
        if let Some(holders) = self.holders.get_mut(place as usize) {
            *holders += 1;
        }
    }

    /// One holds it less; the last one frees it.
    pub(super) fn release(&mut self, place: u32) {
        let Some(holders) = self.holders.get_mut(place as usize) else { return };
        *holders = holders.saturating_sub(1);
        if *holders == 0 {
            self.free.push(place);
        }
    }
}
