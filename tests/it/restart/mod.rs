//! Stops and restarts as clients meet them: none of them is refused, reset or answered with an error.

mod load;
mod rolling;
mod stopping;
mod successor;
