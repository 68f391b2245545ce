//! [`Single`]: a static that one thread uses.

use core::cell::{RefCell, RefMut};

/// A value in a `static` of a program with one thread.
pub(crate) struct Single<T>(RefCell<T>);

// SAFETY: both boards run lwIP and this port in one task on one CPU, and no interrupt handler reaches here. A second
// use within the first one panics in `RefCell` instead of aliasing.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Uses the value; no lwIP function that may call back runs meanwhile.
    pub(crate) fn use_it(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}
