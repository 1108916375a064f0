//! How many bytes of requests may be in memory at once, in all and of one tenant. Counted as they arrive and not as they
//! are announced: to announce costs a client nothing.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Tenant;

/// More bytes than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    tenant_bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    /// Only those that hold something.
    of_tenant: HashMap<Tenant, usize>,
}

/// Bytes that one request holds; given back when dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    tenant: Tenant,
    bytes: usize,
}

impl Memory {
    pub fn new(bytes_max: usize, tenant_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, tenant_bytes_max, state: Mutex::default() })
    }

    /// Starts to count for a request of `tenant`.
    pub fn hold(self: &Arc<Self>, tenant: Tenant, bytes: usize) -> Result<Held, OutOfMemory> {
        let mut held = self.hold_nothing(tenant);
        held.grow(bytes)?;
        Ok(held)
    }

    pub fn hold_nothing(self: &Arc<Self>, tenant: Tenant) -> Held {
        Held { memory: self.clone(), tenant, bytes: 0 }
    }

    /// Bytes held by all requests.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl Held {
    /// Counts `bytes` more, all or none.
    pub fn grow(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let mut state = self.memory.state.lock();
        self.memory.room_for(&state, self.tenant, bytes)?;
        if bytes > 0 {
            state.bytes += bytes;
            *state.of_tenant.entry(self.tenant).or_default() += bytes;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Whether as much again as `bytes` would find room now. Promises nothing.
    pub fn check(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.memory.room_for(&self.memory.state.lock(), self.tenant, bytes)
    }
}

impl Memory {
    fn room_for(&self, state: &State, tenant: Tenant, bytes: usize) -> Result<(), OutOfMemory> {
        let of_tenant = state.of_tenant.get(&tenant).copied().unwrap_or(0);
        let fits = |held: usize, max: usize| held.saturating_add(bytes) <= max;
        if fits(state.bytes, self.bytes_max) && fits(of_tenant, self.tenant_bytes_max) {
            Ok(())
        } else {
            Err(OutOfMemory)
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut state = self.memory.state.lock();
        state.bytes -= self.bytes;
        if let Some(of_tenant) = state.of_tenant.get_mut(&self.tenant) {
            *of_tenant -= self.bytes;
            if *of_tenant == 0 {
                state.of_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::ProjectId;

    use super::*;

    #[test]
    fn a_tenant_and_all_of_them_have_a_bound_and_get_back_what_they_return() {
        let memory = Memory::new(100, 60);
        let [a, b] = [1, 2].map(|n| Tenant::Project(ProjectId(n)));
        let mut held = memory.hold(a, 50).unwrap();
        assert_eq!(held.grow(11), Err(OutOfMemory));
        held.grow(10).unwrap();
        assert_eq!(held.check(1), Err(OutOfMemory));
        let other = memory.hold(b, 40).unwrap();
        assert!(memory.hold(Tenant::Unknown, 1).is_err());
        drop(held);
        assert_eq!(memory.bytes(), 40);
        drop(other);
        assert_eq!(memory.bytes(), 0);
        assert!(memory.state.lock().of_tenant.is_empty());
    }
}
