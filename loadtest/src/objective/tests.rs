use std::collections::BTreeMap;

use super::*;
use crate::report::Subject;
use crate::report::sample;

fn parsed(text: &str) -> Objective {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_is_allowed_is_understood() {
    use Measure::{Achieved, Cores, Latency};
    for (text, op, measure, limit, inclusive) in [
        ("p99<50ms", None, Latency(Quantile::P99), 50.0, false),
        (
            "deliver.p99<50ms",
            Some(Op::Deliver),
            Latency(Quantile::P99),
            50.0,
            false,
        ),
        (
            "send.p999<=100ms",
            Some(Op::Send),
            Latency(Quantile::P999),
            100.0,
            true,
        ),
        (
            "echo.p50 < 2 ms",
            Some(Op::Echo),
            Latency(Quantile::P50),
            2.0,
            false,
        ),
        (
            "sign_in.max<1.5s",
            Some(Op::SignIn),
            Latency(Quantile::Max),
            1500.0,
            false,
        ),
        ("p90<=250us", None, Latency(Quantile::P90), 0.25, true),
        ("p90<250µs", None, Latency(Quantile::P90), 0.25, false),
        ("cpu<1.5", None, Cores, 1.5, false),
        ("achieved>=0.97", None, Achieved, 0.97, true),
        ("send.achieved>0.5", Some(Op::Send), Achieved, 0.5, false),
    ] {
        let objective = parsed(text);
        assert_eq!(objective.op, op, "{text}");
        assert_eq!(objective.measure, measure, "{text}");
        assert!((objective.limit - limit).abs() < 1e-9, "{text}");
        assert_eq!(objective.inclusive, inclusive, "{text}");
        assert_eq!(objective.to_string(), text);
    }
}

#[test]
fn what_is_not_allowed_is_told_what_is() {
    use InvalidObjective as Bad;
    let text = str::to_owned;
    for (written, error) in [
        ("", Bad::NoComparison(text(""))),
        ("p99=50ms", Bad::NoComparison(text("p99=50ms"))),
        ("p95<50ms", Bad::UnknownMeasure(text("p95"))),
        ("<50ms", Bad::UnknownMeasure(text(""))),
        ("memory<5", Bad::UnknownMeasure(text("memory"))),
        ("fly.p99<50ms", Bad::UnknownOperation(text("fly"))),
        (".p99<50ms", Bad::UnknownOperation(text(""))),
        ("a.b.p99<50ms", Bad::UnknownOperation(text("a.b"))),
        ("send.cpu<1", Bad::NotOfOperations(text("send"))),
        ("p99<50", Bad::NoTime(text("50"))),
        ("p99<ms", Bad::NoTime(text("ms"))),
        ("p99<0ms", Bad::NoTime(text("0ms"))),
        ("p99<-5ms", Bad::NoTime(text("-5ms"))),
        ("p99<infms", Bad::NoTime(text("infms"))),
        ("p99<5 minutes", Bad::NoTime(text("5 minutes"))),
        ("p99<<5ms", Bad::NoTime(text("<5ms"))),
        ("cpu<half", Bad::NoCores(text("half"))),
        ("cpu<nan", Bad::NoCores(text("nan"))),
        ("achieved>97%", Bad::NoShare(text("97%"))),
        ("achieved>1.01", Bad::NoShare(text("1.01"))),
    ] {
        assert_eq!(written.parse::<Objective>(), Err(error), "{written}");
    }
    for (written, measure, must) in [
        ("p99>50ms", "p99", '<'),
        ("cpu>=1", "cpu", '<'),
        ("achieved<0.97", "achieved", '>'),
    ] {
        let error = Bad::WrongWay { measure, must };
        assert_eq!(written.parse::<Objective>(), Err(error), "{written}");
    }
    let message = "p95<5ms".parse::<Objective>().unwrap_err().to_string();
    assert!(message.contains("p50, p90, p99, p999, max, cpu, achieved"));
    let message = "fly.p99<5ms".parse::<Objective>().unwrap_err().to_string();
    assert!(message.contains("connect, sign_in, open, send, deliver"));
}

/// 1,000 echoes of 1,000 offered per second, half within 8 ms, 99 of 100 within what `p99_ms` says.
fn run(p99_ms: f64, cores: f64, achieved: f64, failed: u64) -> Run {
    let mut run = sample::run(Subject::Server, 1, 1.0);
    let mut echo = sample::operation("echo", Some(1_000.0), 1_000, 8.0);
    echo.done = 1_000;
    echo.achieved_per_second = achieved;
    echo.latency.p99_ms = p99_ms;
    echo.errors = BTreeMap::from([("timed_out".to_owned(), failed)]);
    run.operations = vec![echo];
    run.seconds = 10.0;
    let server = run.server.as_mut().unwrap();
    server.cpu_seconds = cores * 10.0;
    run
}

#[test]
fn an_objective_holds_up_to_its_limit() {
    let good = run(50.0, 1.5, 970.0, 0);
    for (text, held, words) in [
        ("p99<50.1ms", true, "echo p99 50 ms"),
        ("p99<=50ms", true, "echo p99 50 ms"),
        ("p99<50ms", false, "echo p99 50 ms: 0% over 50 ms"),
        ("p99<40ms", false, "echo p99 50 ms: 25% over 40 ms"),
        ("p99<20ms", false, "echo p99 50 ms: 2.5× the limit of 20 ms"),
        ("cpu<1.6", true, "server 1.5 cores"),
        ("cpu<1.2", false, "server 1.5 cores: 25% over 1.2"),
        ("achieved>=0.97", true, "echo 97% of the offered rate"),
        (
            "achieved>=0.99",
            false,
            "echo 97% of the offered rate: 2% short of 99%",
        ),
        ("send.p50<1s", false, "not one send ended well"),
        ("send.achieved>0.1", false, "not one send ended well"),
    ] {
        let judged = parsed(text).judge(&good, Op::Echo);
        let words = words.to_owned();
        assert_eq!(judged, Judged { held, words }, "{text}");
    }
}

#[test]
fn a_failure_is_longer_than_any_limit() {
    let some_failed = run(1.0, 1.0, 990.0, 10);
    assert!(parsed("p99<1s").judge(&some_failed, Op::Echo).held);
    let judged = parsed("p999<1s").judge(&some_failed, Op::Echo);
    assert!(!judged.held);
    assert_eq!(judged.words, "10 of 1010 echo failed");
    assert!(!parsed("max<1s").judge(&some_failed, Op::Echo).held);
}

#[test]
fn a_server_that_can_not_be_seen_holds_no_limit_of_its_processor() {
    let mut unseen = run(1.0, 1.0, 1_000.0, 0);
    unseen.server = None;
    assert!(!parsed("cpu<100").judge(&unseen, Op::Echo).held);
}
