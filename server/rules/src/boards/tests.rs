mod model;
mod rules;
mod seasons;
mod slots;
