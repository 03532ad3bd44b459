//! Memory hygiene: no core dumps, freed memory is wiped.
