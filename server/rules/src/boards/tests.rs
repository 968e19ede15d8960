mod model;
mod rules;
mod season_board;
mod seasons;
mod slots;
