//! The model of all books: made of what was asked, told and read, and compared with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pitturu_protocol::codec;
use pitturu_protocol::types::points::{Movement, MovementState, PointsAccount, PointsReason};

use super::calls::{CallNo, Kind, PersonNo, call_in, number_in};
use super::state::State;
use super::world::World;
use crate::books::{Books, PLACES, digest, place, posted};

/// What moved on a day.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// Who moved something.
    pub players: BTreeSet<PersonNo>,
    /// What each account gave and got, by its place.
    pub accounts: [(u64, u64); PLACES],
}

/// All books.
#[derive(Default)]
pub struct Model {
    /// By person.
    pub books: Vec<Books>,
    /// By day since 1970.
    pub days: BTreeMap<u64, Day>,
    /// The line of each call; 0 if there is none.
    line_of: Vec<u64>,
    /// The call of each gift that was given, by giver and number.
    gifts: BTreeMap<(PersonNo, u64), CallNo>,
    /// How often each gift has arrived.
    arrived: HashMap<CallNo, u64>,
    /// How often each gift has come back.
    returned: HashMap<CallNo, u64>,
    /// Points set aside that ran out.
    pub ran_out: u64,
}

impl Model {
    /// Empty books for so many people.
    pub fn new(people: usize) -> Self {
        Self {
            books: (0..people).map(|_| Books::default()).collect(),
            ..Self::default()
        }
    }

    /// How many lines there are.
    pub fn lines(&self) -> u64 {
        self.books.iter().map(Books::head).sum()
    }

    /// How many players ever moved something.
    pub fn wallets(&self) -> u64 {
        self.books.iter().filter(|books| books.head() > 0).count() as u64
    }

    /// Gifts that arrived, and gifts that came back.
    pub fn gifts(&self) -> (u64, u64) {
        (self.arrived.values().sum(), self.returned.values().sum())
    }

    /// Takes what was read of a player: the next lines, or again those that are known.
    pub fn take(&mut self, world: &World, player: PersonNo, movements: &[Movement]) {
        let mut state = world.state.lock();
        self.line_of.resize(state.calls.len(), 0);
        for movement in movements {
            let subject = format!("player {player}, movement {}", movement.number);
            let encoded = codec::encode(movement);
            if let Some(line) = self.books[player as usize].line(movement.number) {
                if line.digest != digest(&encoded) {
                    let message = format!("it was {line:?}, and is {movement:?}");
                    state.violation("a line never changes", &subject, message);
                }
                continue;
            }
            match self.books[player as usize].add(movement, &encoded) {
                Ok(day) => self.count(player, day, movement),
                Err(wrong) => {
                    let message = format!("{wrong}: {movement:?}");
                    state.violation("books add up", &subject, message);
                }
            }
            if let Err(wrong) = self.owe(world, &state, player, movement) {
                let message = format!("{wrong}: {movement:?}");
                state.violation("each movement was asked for, once", &subject, message);
            }
        }
    }

    fn count(&mut self, player: PersonNo, day: u64, movement: &Movement) {
        let day = self.days.entry(day).or_default();
        day.players.insert(player);
        if let Some(amount) = posted(movement) {
            day.accounts[place(movement.debit)].0 += amount;
            day.accounts[place(movement.credit)].1 += amount;
        }
    }

    /// Finds what a line goes back to.
    fn owe(
        &mut self,
        world: &World,
        state: &State,
        player: PersonNo,
        movement: &Movement,
    ) -> Result<(), String> {
        if let Some(id) = &movement.id {
            return self.called(world, state, player, movement, id);
        }
        let is_in = movement.debit == PointsAccount::Transit;
        match movement.reason {
            PointsReason::Gift if is_in => self.arrive(world, state, player, movement),
            PointsReason::GiftReturned if is_in => {
                let of = movement.of.unwrap_or(0);
                let gift = self.gifts.get(&(player, of)).copied();
                let gift = gift.ok_or("no such gift was given")?;
                *self.returned.entry(gift).or_default() += 1;
                let other = world.user(state.calls[gift as usize].target);
                match movement.other == Some(other) {
                    true => Ok(()),
                    false => Err("it comes from somebody else".to_owned()),
                }
            }
            PointsReason::Spend if movement.state == MovementState::Void => {
                self.ran_out += 1;
                Ok(())
            }
            _ => Err("nobody asked for it".to_owned()),
        }
    }

    fn called(
        &mut self,
        world: &World,
        state: &State,
        player: PersonNo,
        movement: &Movement,
        id: &str,
    ) -> Result<(), String> {
        let caller = match movement.by {
            None => Some(player),
            Some(by) => world.person(by),
        };
        let call = number_in(id).zip(caller);
        let call = call.and_then(|(key, caller)| state.call_of(player, caller, key));
        let number = call.ok_or("nobody asked for it")?;
        let call = state.calls[number as usize];
        let fate = state.fates[number as usize];
        if !call.is_carried_out_by(number, movement, |person| world.user(person)) {
            return Err(format!("{call:?} asked for something else"));
        }
        if !fate.is_sent || fate.is_refused {
            return Err(format!("{call:?} is {fate:?}"));
        }
        let line = &mut self.line_of[number as usize];
        if *line > 0 {
            return Err(format!("{call:?} was carried out as {line} before"));
        }
        *line = movement.number;
        if call.kind == Kind::Give {
            self.gifts.insert((player, movement.number), number);
        }
        Ok(())
    }

    fn arrive(
        &mut self,
        world: &World,
        state: &State,
        player: PersonNo,
        movement: &Movement,
    ) -> Result<(), String> {
        let number = movement.note.as_deref().and_then(call_in);
        let call = number.and_then(|number| Some((number, state.calls.get(number as usize)?)));
        let (number, call) = call.ok_or("nobody gave it")?;
        *self.arrived.entry(number).or_default() += 1;
        let is_right = call.kind == Kind::Give
            && call.target == player
            && movement.other == Some(world.user(call.caller))
            && movement.amount == call.amount
            && movement.state == MovementState::Posted;
        match is_right {
            true => Ok(()),
            false => Err(format!("{call:?} gave something else")),
        }
    }

    /// Compares what became of each call, and of each gift, while nothing is in flight.
    pub fn check_settled(&self, world: &World) {
        let mut state = world.state.lock();
        let mut wrong = Vec::new();
        for (number, fate) in state.fates.iter().enumerate() {
            let line = self.line_of.get(number).copied().unwrap_or(0);
            let call = state.calls[number];
            let digest = self.books[call.player as usize].line(line);
            let found = digest.map(|found| (line, found.digest));
            let is_right = match fate.done {
                Some(done) => found == Some(done),
                None if fate.is_refused || !fate.is_sent => found.is_none(),
                // A refused call of which an attempt was lost in this process: what became of it shows later.
                None => true,
            };
            if !is_right {
                wrong.push(format!("{call:?} is {fate:?}, and there is {found:?}"));
            }
        }
        for message in wrong {
            state.violation("acknowledged is there, refused is not", "a call", message);
        }
        self.check_gifts(&mut state);
    }

    fn check_gifts(&self, state: &mut State) {
        for ((player, number), call) in &self.gifts {
            let arrived = self.arrived.get(call).copied().unwrap_or(0);
            let returned = self.returned.get(call).copied().unwrap_or(0);
            if arrived + returned != 1 {
                let subject = format!("player {player}, movement {number}");
                let call = state.calls[*call as usize];
                let message =
                    format!("{call:?} arrived {arrived} times, and came back {returned} times");
                state.violation("a gift arrives once or comes back", &subject, message);
            }
        }
        let given: BTreeSet<&CallNo> = self.gifts.values().collect();
        let arrived = self.arrived.keys().chain(self.returned.keys());
        for call in arrived.filter(|call| !given.contains(call)) {
            let message = format!("{:?} was never given", state.calls[*call as usize]);
            state.violation("a gift arrives once or comes back", "a gift", message);
        }
        let transit = self.books.iter().map(|books| {
            let (given, got) = books.of(PointsAccount::Transit).posted;
            i128::from(got) - i128::from(given)
        });
        let under_way: i128 = transit.sum();
        if under_way != 0 {
            let message = format!("{under_way} points are under way when nothing is");
            state.violation("the whole sums to zero", "transit", message);
        }
    }
}
