//! Statics that are made at first use and survive forks.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use forkmeter_core::fork;

/// Holds a value that is made when it is first used; for metrics in statics.
///
/// Unlike [`LazyLock`](std::sync::LazyLock) it can be used while another thread forks: the child never finds it
/// half made. The price: threads that use it first at the same time may each make the value, and all but one of
/// these are dropped. So the function should give the same again, as [`Declare::declare`](crate::Declare) does.
///
/// # Examples
///
/// ```
/// use forkmeter::{Declare, Gauge, Lazy};
///
/// static ROOMS: Lazy<Gauge> = Lazy::new(|| Gauge::builder("rooms", "Open rooms.").declare());
/// ROOMS.set(3.0);
/// ```
pub struct Lazy<T> {
    value: OnceLock<T>,
    make: fn() -> T,
}

impl<T> Lazy<T> {
    /// Makes an empty one; `make` is called at first use.
    pub const fn new(make: fn() -> T) -> Self {
        Self {
            value: OnceLock::new(),
            make,
        }
    }

    /// Returns the value, if it was made.
    pub fn get_if_made(this: &Self) -> Option<&T> {
        this.value.get()
    }
}

impl<T> Deref for Lazy<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self.value.get() {
            Some(value) => value,
            None => self.make(),
        }
    }
}

impl<T> Lazy<T> {
    #[cold]
    fn make(&self) -> &T {
        // Outside of the section, since it is the application's code.
        let value = (self.make)();
        let _section = fork::enter();
        self.value.get_or_init(|| value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.value.get()).finish()
    }
}
