//! Deficit round robin over tenants (Shreedhar and Varghese): whoever asks for little never waits for whoever asks for
//! much.
//!
//! A resource of fixed capacity (processor turns, bytes on their way to the log) is handed out as permits. Tenants that
//! wait stand in a ring, each with a lane of its own; a lane may spend its deficit, which grows by one quantum each time
//! the ring comes round. So over any stretch of time every waiting tenant gets the same share of `cost`, and a tenant
//! that has just come waits for at most one quantum of each other.
//!
//! - F1: permits out plus `free` are the capacity.
//! - F2: a tenant stands in the ring exactly once while it has a lane, and has a lane while it has waiters.
//! - F3: nobody is granted past somebody who waits, but by the ring's order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Tenant;

/// What a queue hands out, and to how many it lets itself be promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Sum of the weights of all permits that are out.
    pub capacity: usize,
    /// Cost that a lane may spend each time round.
    pub quantum: usize,
    /// Waiters of one tenant.
    pub waiting_max: usize,
}

/// The tenant has as many waiters as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneFull;

#[derive(Debug)]
pub(super) struct FairQueue {
    shape: Shape,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    ring: VecDeque<Tenant>,
    lanes: HashMap<Tenant, Lane>,
}

#[derive(Debug)]
struct Lane {
    deficit: usize,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    cost: usize,
    weight: usize,
    granted: oneshot::Sender<Permit>,
}

/// A part of the capacity; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the capacity back"]
pub struct Permit {
    queue: Arc<FairQueue>,
    tenant: Tenant,
    /// 0 once given back.
    weight: usize,
}

impl FairQueue {
    pub fn new(shape: Shape) -> Arc<Self> {
        let state = State { free: shape.capacity, ring: VecDeque::new(), lanes: HashMap::new() };
        Arc::new(Self { shape, state: Mutex::new(state) })
    }

    /// A permit of `weight` for work of `cost`; waits for the tenant's turn. A weight above the capacity takes all of it.
    pub async fn take(self: &Arc<Self>, tenant: Tenant, cost: usize, weight: usize) -> Result<Permit, LaneFull> {
        let weight = weight.clamp(1, self.shape.capacity);
        let turn = {
            let mut state = self.state.lock();
            if let Some(permit) = self.take_now(&mut state, tenant, weight) {
                return Ok(permit);
            }
            if state.lanes.get_mut(&tenant).is_some_and(|lane| lane.is_full(self.shape.waiting_max)) {
                return Err(LaneFull);
            }
            let (granted, turn) = oneshot::channel();
            self.lane(&mut state, tenant).waiting.push_back(Waiter { cost, weight, granted });
            self.grant(&mut state);
            turn
        };
        // The queue outlives its waiters, who hold it.
        turn.await.map_err(|_| LaneFull)
    }

    /// As [`Self::take`], where that would not wait.
    pub fn try_take(self: &Arc<Self>, tenant: Tenant, weight: usize) -> Option<Permit> {
        let weight = weight.clamp(1, self.shape.capacity);
        self.take_now(&mut self.state.lock(), tenant, weight)
    }

    /// How many wait, of all tenants.
    pub fn waiting(&self) -> usize {
        self.state.lock().lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    fn take_now(self: &Arc<Self>, state: &mut State, tenant: Tenant, weight: usize) -> Option<Permit> {
        if !state.ring.is_empty() || state.free < weight {
            return None;
        }
        state.free -= weight;
        Some(Permit { queue: self.clone(), tenant, weight })
    }

    /// The tenant's lane, with a place at the end of the ring if it had none.
    fn lane<'s>(&self, state: &'s mut State, tenant: Tenant) -> &'s mut Lane {
        let State { ring, lanes, .. } = state;
        lanes.entry(tenant).or_insert_with(|| {
            ring.push_back(tenant);
            Lane { deficit: self.shape.quantum, waiting: VecDeque::new() }
        })
    }

    /// Hands out what is free in the ring's order.
    fn grant(self: &Arc<Self>, state: &mut State) {
        while let Some(&tenant) = state.ring.front() {
            let Some(lane) = state.lanes.get_mut(&tenant) else {
                state.ring.pop_front();
                continue;
            };
            // Those that have gone away cost nobody anything.
            while lane.waiting.front().is_some_and(|waiter| waiter.granted.is_closed()) {
                lane.waiting.pop_front();
            }
            let Some(next) = lane.waiting.front() else {
                // An idle tenant saves nothing up (F2).
                state.lanes.remove(&tenant);
                state.ring.pop_front();
                continue;
            };
            if lane.deficit < next.cost {
                lane.deficit = lane.deficit.saturating_add(self.shape.quantum);
                state.ring.rotate_left(1);
                continue;
            }
            if state.free < next.weight {
                return;
            }
            let Some(next) = lane.waiting.pop_front() else { continue };
            lane.deficit -= next.cost;
            state.free -= next.weight;
            let permit = Permit { queue: self.clone(), tenant, weight: next.weight };
            if let Err(mut unwanted) = next.granted.send(permit) {
                // It went away just now. Its own drop would want the lock that we hold.
                state.free += std::mem::take(&mut unwanted.weight);
            }
        }
    }
}

impl Lane {
    /// Whether no more may wait. Those that have gone away do not count.
    fn is_full(&mut self, waiting_max: usize) -> bool {
        if self.waiting.len() >= waiting_max {
            self.waiting.retain(|waiter| !waiter.granted.is_closed());
        }
        self.waiting.len() >= waiting_max
    }
}

impl Permit {
    /// Lets other tenants go first where any wait, and returns with the permit in hand again. Within its tenant the work
    /// stays first, so that a tenant never has more work begun than permits. Blocks the thread.
    pub fn pass(&mut self, cost: usize) {
        let again = {
            let mut state = self.queue.state.lock();
            if state.ring.iter().all(|waiting| *waiting == self.tenant) {
                return;
            }
            let (granted, again) = oneshot::channel();
            let weight = std::mem::take(&mut self.weight);
            state.free += weight;
            self.queue.lane(&mut state, self.tenant).waiting.push_front(Waiter { cost, weight, granted });
            // Its tenant has just had a turn.
            if state.ring.front() == Some(&self.tenant) {
                state.ring.rotate_left(1);
            }
            self.queue.grant(&mut state);
            again
        };
        if let Ok(permit) = again.blocking_recv() {
            *self = permit;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.weight == 0 {
            return;
        }
        let mut state = self.queue.state.lock();
        state.free += self.weight;
        self.queue.grant(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use footfall_model::ProjectId;
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    fn queue(capacity: usize) -> Arc<FairQueue> {
        FairQueue::new(Shape { capacity, quantum: 100, waiting_max: 3 })
    }

    fn tenant(n: u32) -> Tenant {
        Tenant::Project(ProjectId(n))
    }

    type Asking = BoxFuture<'static, Result<Permit, LaneFull>>;

    /// Has asked when this returns: an async function does nothing until it is polled.
    fn ask(queue: &Arc<FairQueue>, who: u32, cost: usize, weight: usize) -> Asking {
        let queue = queue.clone();
        let mut asking = async move { queue.take(tenant(who), cost, weight).await }.boxed();
        assert!((&mut asking).now_or_never().is_none(), "nothing was free");
        asking
    }

    /// In which order those are served that ask, in the order given, while the only permit is out.
    fn order(asked: &[(u32, usize)]) -> Vec<u32> {
        let queue = queue(1);
        let mut held = queue.try_take(tenant(0), 1);
        let mut waiting: Vec<_> = asked.iter().map(|&(who, cost)| (who, ask(&queue, who, cost, 1))).collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(held.take());
            let (at, permit) = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(at, (_, asking))| Some((at, asking.now_or_never()?.unwrap())))
                .expect("what is free goes to somebody");
            order.push(waiting.remove(at).0);
            held = Some(permit);
        }
        order
    }

    #[test]
    fn a_tenant_is_served_in_the_order_it_asked() {
        assert_eq!(order(&[(1, 10), (1, 500), (1, 10)]), [1, 1, 1]);
    }

    #[test]
    fn who_asks_for_little_does_not_wait_for_who_asks_for_much() {
        assert_eq!(order(&[(1, 100), (1, 100), (1, 100), (2, 10)]), [1, 2, 1, 1]);
        assert_eq!(order(&[(1, 1000), (1, 1000), (2, 10), (2, 10), (2, 10)]), [1, 2, 2, 2, 1]);
    }

    #[test]
    fn shares_are_of_cost_and_not_of_requests() {
        let served = order(&[(1, 100), (1, 100), (1, 100), (2, 50), (2, 50), (2, 50)]);
        assert_eq!(served, [1, 2, 2, 1, 2, 1]);
    }

    #[test]
    fn a_lane_has_an_end_and_others_do_not_care() {
        let queue = queue(1);
        let _held = queue.try_take(tenant(0), 1).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| ask(&queue, 1, 1, 1)).collect();
        assert_eq!(queue.take(tenant(1), 1, 1).now_or_never().unwrap().unwrap_err(), LaneFull);
        let _other = ask(&queue, 2, 1, 1);
        // Whoever goes away makes room, and leaves nothing behind.
        waiting.clear();
        assert!(queue.take(tenant(1), 1, 1).now_or_never().is_none());
    }

    #[test]
    fn capacity_is_never_exceeded_and_all_of_it_comes_back() {
        let queue = queue(10);
        let large = queue.try_take(tenant(1), 8).unwrap();
        assert!(queue.try_take(tenant(2), 3).is_none());
        let small = queue.try_take(tenant(2), 2).unwrap();
        let mut all = ask(&queue, 1, 1, usize::MAX);
        // F3: it waits for all of the capacity, and nobody overtakes it.
        assert!(queue.try_take(tenant(2), 1).is_none());
        drop(small);
        assert!((&mut all).now_or_never().is_none());
        drop(large);
        drop(all.now_or_never().unwrap().unwrap());
        assert_eq!(queue.state.lock().free, 10);
        assert!(queue.state.lock().lanes.is_empty());
    }

    #[test]
    fn a_permit_that_nobody_takes_any_more_is_not_lost() {
        let queue = queue(1);
        let held = queue.try_take(tenant(0), 1).unwrap();
        let given_up = ask(&queue, 1, 1, 1);
        let mut next = ask(&queue, 2, 1, 1);
        drop(held);
        // Granted already, but never looked at.
        drop(given_up);
        assert!((&mut next).now_or_never().is_some());
    }

    #[test]
    fn long_work_lets_another_tenant_go_between_its_slices() {
        let queue = queue(1);
        let mut long = queue.try_take(tenant(1), 1).unwrap();
        long.pass(50);
        assert_eq!(long.weight, 1, "nobody waits");
        let mut same = ask(&queue, 1, 50, 1);
        let mut other = ask(&queue, 2, 50, 1);
        let worker = std::thread::spawn(move || {
            long.pass(50);
            long
        });
        let permit = futures::executor::block_on(&mut other).unwrap();
        drop(permit);
        let long = worker.join().unwrap();
        assert!((&mut same).now_or_never().is_none(), "work that has begun goes before work that has not");
        drop(long);
        assert!(same.now_or_never().is_some());
    }
}
