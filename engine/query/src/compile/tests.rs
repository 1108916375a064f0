//! The compiled form against the scalar evaluator: the reference's vectors, generated expressions, and the shape of
//! predicates that have to prune.

mod fuzz;
mod generator;
mod nested;
mod records;
mod shape;
mod table;
mod vectors;
