//! One bound on the memory that pictures take: those that are cached, those that come in and
//! those that slow clients have not taken yet.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fetch::PictureError;

/// Beyond the cache: for pictures on their way in or out.
const IN_TRANSIT: usize = 64 * 1024 * 1024;
const KIB: usize = 1024;

/// What is really set aside for so many bytes. The cache counts with it: else a great many tiny
/// pictures would leave no room for any other.
pub(super) const fn set_aside_for(bytes: usize) -> usize {
    bytes.div_ceil(KIB) * KIB
}

/// All the memory there is for pictures.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<Semaphore>);

impl Memory {
    /// That of this process. `cache_bytes` is a setting of the environment: it never changes.
    pub(super) fn of_process(cache_bytes: usize) -> Self {
        static MEMORY: OnceLock<Memory> = OnceLock::new();
        MEMORY
            .get_or_init(|| Self::new(cache_bytes + IN_TRANSIT))
            .clone()
    }

    fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / KIB)))
    }

    /// The beginnings of a picture.
    pub(super) fn reserve(&self) -> Reserved {
        Reserved {
            memory: self.clone(),
            permit: None,
        }
    }
}

/// Memory set aside for one picture, until it is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    memory: Memory,
    permit: Option<OwnedSemaphorePermit>,
}

impl Reserved {
    /// Sees to it that `bytes` in all are set aside.
    ///
    /// # Errors
    /// There is no room now.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), PictureError> {
        let held = self
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(KIB).saturating_sub(held);
        let more = u32::try_from(more).map_err(|_| PictureError::Busy)?;
        if more == 0 {
            return Ok(());
        }
        let memory = Arc::clone(&self.memory.0);
        match (memory.try_acquire_many_owned(more), &mut self.permit) {
            (Ok(more), Some(permit)) => permit.merge(more),
            (Ok(more), none) => *none = Some(more),
            (Err(_none_left), _) => return Err(PictureError::Busy),
        }
        Ok(())
    }

    /// The picture's bytes. The memory is free again when their last clone is gone, be it in the
    /// cache or in an answer on its way.
    pub(super) fn filled_with(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Filled {
            bytes,
            _reserved: self,
        })
    }
}

struct Filled {
    bytes: Vec<u8>,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_held_by_the_last_clone() {
        let memory = Memory::new(10 * KIB);
        let take = |bytes: usize| {
            let mut reserved = memory.reserve();
            reserved.grow_to(1)?;
            reserved.grow_to(bytes)?;
            Ok(reserved.filled_with(vec![7; bytes]))
        };
        let (first, _second) = (take(6 * KIB).unwrap(), take(4 * KIB).unwrap());
        assert_eq!(take(1), Err(PictureError::Busy));
        let clone = first.clone();
        drop(first);
        assert_eq!(take(1), Err(PictureError::Busy));
        drop(clone);
        assert_eq!(take(6 * KIB + 1), Err(PictureError::Busy));
        assert_eq!(take(6 * KIB).unwrap().len(), 6 * KIB);
    }
}
