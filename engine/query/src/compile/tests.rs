//! The compiled form against a reference of its own: the reference's vectors, generated expressions, and the shape of
//! predicates that have to prune.

mod fuzz;
mod generator;
mod nested;
mod records;
mod reference;
mod shape;
mod table;
mod vectors;
