//! Reports: a typed spec becomes a plan, the plan's rows become a typed answer.

pub mod segmentation;
