//! What operators write, and what they are told of mistakes.

use super::seasons::{daily, dates, months, weekly};
use crate::boards::{BoardRules, Direction, Operator, Reset, Weekday};

#[test]
fn mistakes_name_their_field() {
    let seoul = "Asia/Seoul";
    for (reset, error) in [
        (
            daily("24:00", seoul),
            "reset.at: \"24:00\" is no time of day such as 05:00",
        ),
        (
            daily("5:00", seoul),
            "reset.at: \"5:00\" is no time of day such as 05:00",
        ),
        (
            daily("05:60", seoul),
            "reset.at: \"05:60\" is no time of day such as 05:00",
        ),
        (
            daily("05:00:00", seoul),
            "reset.at: \"05:00:00\" is no time of day such as 05:00",
        ),
        (
            daily("+5:00", seoul),
            "reset.at: \"+5:00\" is no time of day such as 05:00",
        ),
        (
            daily("", seoul),
            "reset.at: \"\" is no time of day such as 05:00",
        ),
        (
            daily("05:00", "Asia/Soul"),
            "reset.zone: \"Asia/Soul\" is no time zone such as Asia/Seoul",
        ),
        (
            weekly(Weekday::Monday, "05:00", ""),
            "reset.zone: \"\" is no time zone such as Asia/Seoul",
        ),
        (
            months(0, "2026-01-01", "05:00", seoul),
            "reset.months: 0 is not within 1 to 120",
        ),
        (
            months(121, "2026-01-01", "05:00", seoul),
            "reset.months: 121 is not within 1 to 120",
        ),
        (
            months(1, "2026-02-29", "05:00", seoul),
            "reset.from: \"2026-02-29\" is no date such as 2026-01-31, from 1970-01-02 on",
        ),
        (
            months(1, "20260201", "05:00", seoul),
            "reset.from: \"20260201\" is no date such as 2026-01-31, from 1970-01-02 on",
        ),
        (
            months(1, "1970-01-01", "05:00", seoul),
            "reset.from: \"1970-01-01\" is no date such as 2026-01-31, from 1970-01-02 on",
        ),
        (
            dates(&[], "05:00", seoul),
            "reset.dates: 0 is not within 1 to 1000",
        ),
        (
            dates(&["2026-13-01"], "05:00", seoul),
            "reset.dates: \"2026-13-01\" is no date such as 2026-01-31, from 1970-01-02 on",
        ),
        (
            dates(&["2026-02-01", "2026-02-01"], "05:00", seoul),
            "reset.dates: \"2026-02-01\" is not after the date before it",
        ),
        (
            dates(&["2026-02-01", "2026-01-31"], "05:00", seoul),
            "reset.dates: \"2026-01-31\" is not after the date before it",
        ),
    ] {
        let rules = BoardRules {
            operator: Operator::Best,
            direction: Direction::Higher,
            reset,
            entries_max: 1,
            ..BoardRules::of(Operator::Best)
        };
        assert_eq!(rules.check().unwrap_err().to_string(), error);
    }
    for entries_max in [0, (1 << 31) + 1] {
        let rules = BoardRules {
            operator: Operator::Best,
            direction: Direction::Higher,
            reset: Reset::default(),
            entries_max,
            ..BoardRules::of(Operator::Best)
        };
        assert_eq!(rules.check().unwrap_err().field, "entries_max");
    }
}

#[test]
fn an_operator_writes_rules_as_text() {
    let week = r#"
        operator = "sum"
        direction = "lower"
        entries_max = 500
        reset = { every = "week", day = "monday", at = "05:00", zone = "Asia/Seoul" }
    "#;
    let rules: BoardRules = toml::from_str(week).unwrap();
    assert_eq!(rules.operator, Operator::Sum);
    assert_eq!(rules.direction, Direction::Lower);
    assert_eq!(rules.reset, weekly(Weekday::Monday, "05:00", "Asia/Seoul"));
    assert_eq!(
        toml::from_str::<BoardRules>(&toml::to_string(&rules).unwrap()),
        Ok(rules)
    );

    let least: BoardRules = toml::from_str("operator = \"best\"").unwrap();
    assert_eq!(least.direction, Direction::Higher);
    assert_eq!(least.reset, Reset::default());
    assert_eq!(least.entries_max, 10_000_000);
    assert!(least.check().is_ok());

    for (text, named) in [
        ("direction = \"higher\"", "operator"),
        ("operator = \"worst\"", "worst"),
        ("operator = \"best\"\norder = 1", "order"),
        ("operator = \"best\"\nreset = { every = \"year\" }", "year"),
        (
            "operator = \"best\"\nreset = { every = \"day\", at = \"05:00\" }",
            "zone",
        ),
        (
            "operator = \"best\"\nreset = { every = \"day\", at = \"05:00\", zone = \"UTC\", day = \"monday\" }",
            "day",
        ),
        (
            "operator = \"best\"\nreset = { every = \"never\", at = \"05:00\" }",
            "at",
        ),
    ] {
        let error = toml::from_str::<BoardRules>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
