use super::*;
use crate::sources;

const SMALL: Layered = Layered {
    sources: "made/src/",
    layers: &[&["main"], &["app"], &["chat", "players"], &["sync"]],
};

/// Sources below `made/src/`.
fn made(files: &[(&str, &str)]) -> Vec<Source> {
    let path = |file: &str| format!("made/src/{file}");
    let sources = files.iter();
    sources
        .map(|(file, text)| Source::new(&path(file), text))
        .collect()
}

/// What the layers say of a crate with all its modules, where these files have this text.
fn broken(files: &[(&str, &str)]) -> Vec<(String, usize, String)> {
    let mut sources = made(files);
    for file in [
        "lib.rs",
        "main.rs",
        "app.rs",
        "chat.rs",
        "players.rs",
        "sync.rs",
    ] {
        if !files.iter().any(|(given, _)| *given == file) {
            sources.extend(made(&[(file, "")]));
        }
    }
    let violations = SMALL.check(&sources).into_iter();
    violations
        .map(|it| (it.path, it.line, it.message))
        .collect()
}

/// The rings of a crate of these files.
fn rings(files: &[(&str, &str)]) -> Vec<String> {
    let graph = rust::read(&made(files), "made/src/");
    let violations = graph.rings(true).into_iter();
    violations.map(|it| it.message).collect()
}

fn rings_of_scripts(files: &[(&str, &str)]) -> Vec<String> {
    let graph = scripts::read(&made(files), "made/src/");
    let violations = graph.rings(true).into_iter();
    violations.map(|it| it.message).collect()
}

#[test]
fn an_import_from_above_is_found_in_every_form() {
    for text in [
        "use crate::app;",
        "use crate::app::Part;",
        "use {crate::app::Part, crate::sync::Lock};",
        "use crate::{sync::{Lock, Guard}, app::{self, Part as P}};",
        "use crate::{self as top, app};",
        "pub(crate) use crate::app::Part;",
        "fn f() { crate::app::run(); }",
        "struct S(Vec<crate::app::Part>);",
        "fn f() { let v = Vec::<crate::app::Part>::new(); }",
        "impl crate::app::Part for S {}",
        "m! { a => crate::app::run(x) }",
        "macro_rules! m { () => { $crate::app::run() }; }",
        "#[serde(with = \"crate::app::as_text\")] struct S;",
        "use super::app::Part;",
        "use super::{app, sync};",
        "use self::super::app;",
        "mod inner { use super::super::app; }",
        "mod inner { mod more { fn f() { super::super::super::app::run() } } }",
    ] {
        let found = broken(&[("chat.rs", text)]);
        assert!(
            found.iter().any(|it| it.2.starts_with("chat uses app, ")),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn the_message_says_who_may_use_whom() {
    let found = broken(&[("chat/rooms.rs", "\nuse crate::app::Part;")]);
    let [(path, line, message)] = found.as_slice() else {
        panic!("one import is wrong: {found:?}");
    };
    assert_eq!((path.as_str(), *line), ("made/src/chat/rooms.rs", 2));
    assert!(
        message.starts_with("chat uses app, which stands above it: "),
        "{message}"
    );
    assert!(message.contains("chat may use only what stands below it, sync; "));
    let found = broken(&[("sync.rs", "use crate::chat;")]);
    assert!(found[0].2.contains("sync may use no other module; "));
}

#[test]
fn an_import_from_beside_is_found() {
    let found = broken(&[("chat.rs", "use crate::players::Player;")]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .2
            .starts_with("chat uses players, which stands beside it: ")
    );
}

#[test]
fn a_path_that_leaves_its_module_by_super_is_found() {
    for (file, text) in [
        ("chat/rooms.rs", "use super::super::app::Part;"),
        ("chat/rooms/send.rs", "use super::super::super::app::Part;"),
        (
            "chat/rooms.rs",
            "mod inner { use super::super::super::app::Part; }",
        ),
    ] {
        assert_eq!(broken(&[(file, text)]).len(), 1, "{file}: {text}");
    }
    for (file, text) in [
        ("chat/rooms.rs", "use super::app::Part;"),
        ("chat/rooms/send.rs", "use super::super::app::Part;"),
        ("chat.rs", "mod inner { use super::app::Part; }"),
        (
            "chat.rs",
            "mod app { pub struct Part; } use self::app::Part;",
        ),
    ] {
        assert_eq!(broken(&[(file, text)]), [], "{file}: {text}");
    }
}

#[test]
fn what_the_top_passes_on_counts_as_what_it_is() {
    for top in [
        "pub use app::Part;",
        "pub use crate::app::Part;",
        "pub use self::app::Whole as Part;",
        "use app::inner; pub use inner::Part;",
        "pub use app::{inner::Part, Whole};",
    ] {
        let found = broken(&[("lib.rs", top), ("chat.rs", "use crate::Part;")]);
        assert_eq!(found.len(), 1, "{top}: {found:?}");
        assert!(found[0].2.starts_with("chat uses app, "), "{top}");
    }
    for top in [
        "pub use sync::Part;",
        "pub use std::sync::Part;",
        "pub struct Part;",
    ] {
        assert_eq!(
            broken(&[("lib.rs", top), ("chat.rs", "use crate::Part;")]),
            []
        );
    }
}

#[test]
fn bringing_in_the_whole_crate_is_found() {
    for text in [
        "use crate::*;",
        "use super::*;",
        "use crate as top;",
        "use crate::{self as top};",
    ] {
        let found = broken(&[("chat.rs", text)]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].2.starts_with("chat brings in the whole crate: "),
            "{text}"
        );
    }
    assert_eq!(broken(&[("chat/rooms.rs", "use super::*;")]), []);
}

#[test]
fn what_points_down_passes() {
    for (file, text) in [
        (
            "main.rs",
            "use made::app; fn main() { app::run(made::sync::now()) }",
        ),
        (
            "app.rs",
            "use crate::{chat::Room, players, sync::{self, Lock}};",
        ),
        (
            "app/start.rs",
            "use super::super::chat::Room; use super::chat::Other;",
        ),
        (
            "chat.rs",
            "use crate::chat::rooms; use std::sync::Arc; use app::Foreign;",
        ),
        (
            "chat.rs",
            "pub(in crate::chat) fn f() {} pub(crate) fn g() {} pub(super) fn h() {}",
        ),
        ("chat.rs", "use crate::VERSION;"),
        (
            "chat.rs",
            "//! See [`crate::app`].\n/// [`super::app::run`]\nfn f() { \"crate::app is above\"; }",
        ),
        (
            "chat.rs",
            "#[cfg(test)] mod tests { use crate::app; } #[cfg(test)] use crate::players;",
        ),
        ("chat/tests.rs", "use crate::app;"),
        ("lib.rs", "pub mod app; pub use app::Part;"),
    ] {
        assert_eq!(broken(&[(file, text)]), [], "{file}: {text}");
    }
}

#[test]
fn a_main_without_a_library_is_the_crate_and_a_module() {
    let sources = made(&[
        (
            "main.rs",
            "mod app; mod chat; mod players; mod sync; use app::Part; use crate::sync;",
        ),
        ("app.rs", "pub struct Part;"),
        ("chat.rs", "use crate::Part;"),
        ("players.rs", ""),
        ("sync.rs", "use crate::main;"),
    ]);
    let found = SMALL.check(&sources);
    let messages: Vec<&str> = found
        .iter()
        .map(|it| it.message.split(',').next().unwrap_or_default())
        .collect();
    assert_eq!(messages, ["chat uses app", "sync uses main"]);
}

#[test]
fn a_module_in_no_layer_is_found_and_so_is_a_layer_of_nothing() {
    let found = broken(&[("bus.rs", "use crate::app;"), ("bus/local.rs", "")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "made/src/bus.rs");
    assert!(found[0].2.starts_with("bus stands in no layer: place it"));

    let all = ["main.rs", "app.rs", "chat.rs", "players.rs"].map(|file| (file, ""));
    let found = SMALL.check(&made(&all));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.starts_with("sync is no module any more: "));
}

/// One file for each module of the server's list, and more with text.
fn server(files: &[(&str, &str)]) -> Vec<String> {
    let mut sources: Vec<Source> = SERVER
        .layers
        .concat()
        .into_iter()
        .map(|module| Source::new(&format!("server/src/{module}.rs"), ""))
        .collect();
    sources.extend(
        files
            .iter()
            .map(|(file, text)| Source::new(&format!("server/src/{file}"), text)),
    );
    let found = SERVER.check(&sources).into_iter();
    found.map(|it| it.message).collect()
}

#[test]
fn the_server_s_layers_say_what_they_are_meant_to() {
    for (file, text) in [
        (
            "app/start.rs",
            "use crate::config::Config; use crate::transport::ws;",
        ),
        (
            "assembly/parts.rs",
            "use crate::config::Config; use crate::app::Sessions; use crate::chat::Chat;",
        ),
        ("transport/ws.rs", "use crate::session::Session;"),
        (
            "session/calls.rs",
            "use crate::{services::Services, chat::Chat, connections};",
        ),
        (
            "chat/rooms.rs",
            "use crate::owners::Line; use pitturu_store::Rooms;",
        ),
        (
            "connections/outbox.rs",
            "use crate::io_threads::IoThreads; use crate::sync;",
        ),
    ] {
        assert_eq!(server(&[(file, text)]), [""; 0], "{file}: {text}");
    }
    for (file, text) in [
        ("app/start.rs", "use crate::assembly::Parts;"),
        ("transport/ws.rs", "use crate::config::Config;"),
        ("ops/health.rs", "use crate::transport::tls;"),
        ("session/calls.rs", "use crate::transport::ws;"),
        ("services/accounts.rs", "use crate::session::calls;"),
        ("chat/rooms.rs", "use crate::services::Services;"),
        ("owners/line.rs", "use crate::chat::Room;"),
        ("sync/lock.rs", "use crate::io_threads;"),
    ] {
        assert_eq!(server(&[(file, text)]).len(), 1, "{file}: {text}");
    }
}

#[test]
fn a_ring_is_found_with_its_files() {
    let found = rings(&[
        ("a.rs", "use crate::b::B;"),
        ("b/more.rs", "\nfn f() { m!(super::super::c::C) }"),
        ("b.rs", ""),
        ("c.rs", "use crate::{d, a::A};"),
        ("d.rs", ""),
    ]);
    assert_eq!(
        found,
        [
            "a ring: a uses b at made/src/a.rs:1, b uses c at made/src/b/more.rs:2, c uses a at made/src/c.rs:1; \
          move what they share into a module that all of them may use"
        ]
    );
}

#[test]
fn the_shortest_of_several_rings_is_shown() {
    let found = rings(&[
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::c;"),
        ("c.rs", "use crate::{a, d};"),
        ("d.rs", "use crate::c;"),
    ]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("a ring: c uses d at "), "{found:?}");
}

#[test]
fn rings_between_the_files_of_a_folder_are_found() {
    let files = [
        ("a.rs", "mod b; mod c; pub use c::Two;"),
        ("a/b.rs", "use super::Two;"),
        ("a/c.rs", "use super::b::One;"),
    ];
    let found = rings(&files);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("a ring: a/b uses a/c at made/src/a/b.rs:1, a/c uses a/b at "),
        "{found:?}"
    );
    let graph = rust::read(&made(&files), "made/src/");
    assert!(graph.rings(false).is_empty(), "only the top was asked for");
}

#[test]
fn what_is_no_ring_passes() {
    for files in [
        // A module and what lies below it.
        [
            ("a.rs", "mod b; use b::B;"),
            ("a/b.rs", "use super::A;"),
            ("c.rs", ""),
        ],
        // Tests may look up.
        [
            ("a.rs", "use crate::c;"),
            ("c.rs", "#[cfg(test)] mod tests { use crate::a; }"),
            ("d.rs", ""),
        ],
        [
            ("a.rs", "use crate::c;"),
            ("c.rs", ""),
            ("c/tests.rs", "use crate::a;"),
        ],
        // The library names them all, and the program the library.
        [
            ("lib.rs", "pub mod a; pub use a::A;"),
            ("a.rs", "use crate::VERSION;"),
            ("main.rs", "use made::a;"),
        ],
        // The same, twice.
        [
            ("a.rs", "use crate::c; use crate::d;"),
            ("c.rs", "use crate::d;"),
            ("d.rs", ""),
        ],
    ] {
        assert_eq!(rings(&files), [""; 0], "{files:?}");
    }
}

#[test]
fn rings_of_scripts_are_found() {
    let found = rings_of_scripts(&[
        (
            "client.ts",
            "import { Machine } from './machine/machine.js';",
        ),
        (
            "machine/machine.ts",
            "\nimport type { Frame } from '../wire/frame.js';",
        ),
        (
            "wire/frame.ts",
            "export type { Options } from '../client.js';",
        ),
    ]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(
            "a ring: client uses machine at made/src/client.ts:1, machine uses wire at made/src/machine/machine.ts:2, \
             wire uses client at "
        ),
        "{found:?}"
    );
    let found = rings_of_scripts(&[
        ("machine/a.ts", "const b = await import('./b.js');"),
        ("machine/b.ts", "import './a.js';"),
    ]);
    assert_eq!(found.len(), 1);
    // A folder stands for its files, also where no file is in a ring.
    let found = rings_of_scripts(&[
        ("machine/a.ts", "import { b } from '../wire/b.js';"),
        ("machine/c.ts", ""),
        ("wire/b.ts", ""),
        ("wire/d.ts", "import { c } from '../machine/c.js';"),
    ]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("a ring: machine uses wire at "),
        "{found:?}"
    );
}

#[test]
fn scripts_that_point_one_way_pass() {
    for files in [
        [
            ("a.ts", "import { b } from './b.js';"),
            ("b.ts", "// import './a.js'\nimport a from 'a';"),
        ],
        [
            ("a/x.ts", "import { b } from '../b/index.js';"),
            ("b/index.ts", "const a = './a/x.js';"),
        ],
        [("a.ts", "import { b } from './b';"), ("b/index.ts", "")],
        [
            ("a.ts", "import './b.js';"),
            ("b.test.ts", "import './a.js';"),
        ],
        [
            ("a.ts", "import '../outside.js';"),
            ("b.ts", "import './a.js';"),
        ],
    ] {
        assert_eq!(rings_of_scripts(&files), [""; 0], "{files:?}");
    }
    let found = rings_of_scripts(&[
        ("a.ts", "import { b } from './b';"),
        ("b/index.ts", "export * from './c';"),
        ("b/c.ts", "import { a } from '../a.js';"),
    ]);
    assert_eq!(found.len(), 1, "an import of a folder is one of its index");
}

#[test]
fn there_is_something_to_see_wherever_the_rules_look() {
    let tracked = sources::tracked();
    for ringless in RINGLESS {
        let graph = (ringless.read)(&tracked, ringless.sources);
        let folder = ringless.sources;
        assert!(graph.modules.len() > 5, "{folder} has few modules");
        let to_modules = graph.uses.iter().filter(|used| {
            let to = used.to.first();
            to.is_some_and(|to| graph.top_level().contains_key(to.as_str()))
        });
        assert!(to_modules.count() > 5, "{folder} has few imports");
    }
}
