//! The TypeScript SDK's generated half: interfaces of every type and the tables as constants.

use std::fmt::Write;

use pitturu_protocol::codes::{CloseCode, Code};
use pitturu_protocol::limits::LIMITS;
use pitturu_protocol::{SUBPROTOCOL, VERSION};
use serde_json::{Map, Value};

use crate::catalog::{Catalog, column_schemas, description, is_required, referred};
use crate::close_ranges::close_ranges;
use crate::derived::{Derived, HEADER};
use crate::frames::FRAMES;
use crate::shapes;

/// The generated sources.
pub fn files(catalog: &Catalog) -> Vec<Derived> {
    vec![
        Derived {
            path: "client-sdk/typescript/src/generated/types.ts",
            content: types(catalog),
        },
        Derived {
            path: "client-sdk/typescript/src/generated/tables.ts",
            content: tables(catalog),
        },
        Derived {
            path: "client-sdk/typescript/src/generated/codes.ts",
            content: codes(),
        },
        Derived {
            path: "client-sdk/typescript/src/generated/wire.ts",
            content: wire(),
        },
        Derived {
            path: "client-sdk/typescript/src/generated/shapes.ts",
            content: shapes::text(catalog),
        },
    ]
}

/// The type of opaque bytes.
const BYTES: &str = "Uint8Array";

const RECEIVED_BYTES: &str = "Uint8Array<ArrayBuffer>";

macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($text:tt)*) => { writeln!($out, $($text)*).expect("a String takes all text") };
}

fn comment(out: &mut String, indent: &str, text: &str) {
    if !text.is_empty() {
        line!(out, "{indent}/** {} */", text.replace("*/", "*\\/"));
    }
}

fn types(catalog: &Catalog) -> String {
    let mut out = HEADER.to_owned();
    let mut names: Vec<&String> = catalog.types.keys().collect();
    names.sort();
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            line!(out);
        }
        let schema = catalog.schema(name);
        comment(&mut out, "", description(schema));
        let begun = out.len();
        match schema.get("properties").and_then(Value::as_object) {
            Some(properties) => {
                line!(out, "export interface {name} {{");
                fields(&mut out, schema, properties);
                line!(out, "}}");
            }
            None if schema.get("type").is_some_and(|kind| kind == "object") => {
                line!(out, "export type {name} = Record<string, never>;");
            }
            None => {
                let definition = type_of(schema, "");
                let space = space_before(&definition);
                line!(out, "export type {name} ={space}{definition};");
            }
        }
        let sent = catalog
            .methods
            .iter()
            .any(|method| method.request.name == name);
        if !sent {
            // Bytes that came are a copy with a buffer of its own; those that are sent may be any.
            let received = out.split_off(begun).replace(BYTES, RECEIVED_BYTES);
            out.push_str(&received);
        }
    }
    out
}

fn fields(out: &mut String, schema: &Value, properties: &Map<String, Value>) {
    for (name, part) in properties {
        comment(out, "  ", description(part));
        let definition = type_of(part, "  ");
        if is_required(schema, name) {
            line!(out, "  {name}: {definition};");
        } else {
            line!(out, "  {name}?: {};", or_undefined(&definition));
        }
    }
}

/// An absent field may also be given as `undefined`, whatever the compiler makes of optional properties.
fn or_undefined(definition: &str) -> String {
    format!("{definition} | undefined")
}

fn type_of(schema: &Value, indent: &str) -> String {
    if let Some(name) = referred(schema) {
        return name.to_owned();
    }
    if let Some(fixed) = schema.get("const") {
        return literal(fixed);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(choices)) = schema.get(key) {
            return union(choices, indent);
        }
    }
    if let Some(Value::Array(choices)) = schema.get("enum") {
        let choices: Vec<String> = choices.iter().map(literal).collect();
        return choices.join(" | ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if schema.get("x-msgpack").is_some() => BYTES.to_owned(),
        Some("string") => "string".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("boolean") => "boolean".to_owned(),
        Some("array") => {
            let item = type_of(&schema["items"], indent);
            if item.contains(' ') {
                format!("({item})[]")
            } else {
                format!("{item}[]")
            }
        }
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let parts: Vec<String> = properties
                .into_iter()
                .flatten()
                .map(|(name, part)| {
                    let definition = type_of(part, indent);
                    if is_required(schema, name) {
                        format!("{name}: {definition}")
                    } else {
                        format!("{name}?: {}", or_undefined(&definition))
                    }
                })
                .collect();
            format!("{{ {} }}", parts.join("; "))
        }
        other => panic!("no TypeScript type for {other:?}"),
    }
}

fn union(choices: &[Value], indent: &str) -> String {
    let mut out = String::new();
    for choice in choices {
        line!(out);
        comment(&mut out, &format!("{indent}  "), description(choice));
        write!(out, "{indent}  | {}", type_of(choice, indent)).expect("a String takes all text");
    }
    out
}

fn tables(catalog: &Catalog) -> String {
    let mut out = HEADER.to_owned();
    line!(out, "import type * as types from './types.js';\n");
    line!(out, "/** Request and reply of each method. */");
    line!(out, "export interface Methods {{");
    for method in &catalog.methods {
        let name = method.info.name;
        comment(&mut out, "  ", catalog.doc(method.request.name));
        line!(
            out,
            "  {name}: {{ request: types.{}; reply: types.{} }};",
            method.request.name,
            method.reply.name
        );
    }
    line!(out, "}}\n");
    line!(out, "/** Body of each event. */");
    line!(out, "export interface Events {{");
    for event in &catalog.events {
        comment(&mut out, "  ", catalog.doc(event.body.name));
        line!(out, "  {}: types.{};", event.info.name, event.body.name);
    }
    line!(out, "}}\n");
    method_table(&mut out, catalog);
    line!(out);
    event_table(&mut out, catalog);
    out
}

fn method_table(out: &mut String, catalog: &Catalog) {
    comment(out, "", "What is known of a method without its types.");
    line!(out, "export interface MethodInfo {{");
    columns(out, &catalog.method_line);
    comment(out, "  ", "Name of the reply's type.");
    line!(out, "  readonly reply: string;");
    line!(out, "}}\n");
    line!(out, "/** The table of methods. */");
    line!(
        out,
        "export const METHODS: {{ readonly [M in keyof Methods]: MethodInfo }} = {{"
    );
    for method in &catalog.methods {
        line!(
            out,
            "  {}: {{ number: {}, {}, reply: '{}' }},",
            method.info.name,
            method.info.number,
            values(&method.columns()),
            method.reply.name
        );
    }
    line!(out, "}};");
}

fn event_table(out: &mut String, catalog: &Catalog) {
    comment(out, "", "What is known of an event without its type.");
    line!(out, "export interface EventInfo {{");
    columns(out, &catalog.event_line);
    line!(out, "}}\n");
    line!(out, "/** The table of events. */");
    line!(
        out,
        "export const EVENTS: {{ readonly [E in keyof Events]: EventInfo }} = {{"
    );
    for event in &catalog.events {
        line!(
            out,
            "  {}: {{ number: {}, {} }},",
            event.info.name,
            event.info.number,
            values(&event.columns())
        );
    }
    line!(out, "}};\n");
    line!(out, "/** Names of events by number. */");
    line!(
        out,
        "export const EVENT_NAMES: ReadonlyMap<number, keyof Events> = new Map(["
    );
    for event in &catalog.events {
        line!(out, "  [{}, '{}'],", event.info.number, event.info.name);
    }
    line!(out, "]);");
}

/// The number and the columns of a table's line, as members of an interface.
fn columns(out: &mut String, line: &Value) {
    comment(out, "  ", "Number on the wire.");
    line!(out, "  readonly number: number;");
    for (name, column) in column_schemas(line) {
        comment(out, "  ", description(column));
        let mark = if is_required(line, name) { "" } else { "?" };
        let definition = type_of(column, "  ");
        let space = space_before(&definition);
        line!(out, "  readonly {name}{mark}:{space}{definition};");
    }
}

/// The columns of a line, as members of an object.
fn values(columns: &Map<String, Value>) -> String {
    let values: Vec<String> = columns
        .iter()
        .map(|(name, value)| format!("{name}: {}", literal(value)))
        .collect();
    values.join(", ")
}

fn literal(value: &Value) -> String {
    value.to_string().replace('"', "'")
}

/// What stands between a name and its type, which may begin on a line of its own.
fn space_before(definition: &str) -> &'static str {
    if definition.starts_with('\n') {
        ""
    } else {
        " "
    }
}

fn codes() -> String {
    let mut out = HEADER.to_owned();
    line!(out, "/** Whether a refused call is worth repeating. */");
    line!(
        out,
        "export type Retry = 'never' | 'later' | 'after_sign_in';\n"
    );
    line!(out, "/** What is known of a code. */");
    line!(out, "export interface CodeInfo {{");
    line!(out, "  readonly number: number;");
    line!(out, "  readonly retry: Retry;");
    line!(out, "  readonly advice: string;");
    line!(out, "}}\n");
    line!(
        out,
        "/** Why a call was refused. `unknown` stands for a code of a newer server. */"
    );
    line!(out, "export type CodeName =");
    for code in Code::ALL {
        line!(out, "  | '{}'", code.name());
    }
    line!(out, "  | 'unknown';\n");
    line!(out, "/** The table of codes. */");
    line!(
        out,
        "export const CODES: Readonly<Record<Exclude<CodeName, 'unknown'>, CodeInfo>> = {{"
    );
    for code in Code::ALL {
        let retry = serde_json::json!(code.retry());
        comment(&mut out, "  ", code.advice());
        line!(
            out,
            "  {}: {{ number: {}, retry: '{}', advice: {} }},",
            code.name(),
            code.number(),
            retry.as_str().unwrap_or_default(),
            serde_json::json!(code.advice())
        );
    }
    line!(out, "}};\n");
    close_codes(&mut out);
    out
}

fn close_codes(out: &mut String) {
    line!(
        out,
        "/** What a client does after its connection was closed. */"
    );
    line!(
        out,
        "export type Reconnect = 'now' | 'back_off' | 'after_sign_in' | 'never';\n"
    );
    line!(out, "/** Why the server closed a connection, by name. */");
    line!(out, "export const CLOSE_CODES = {{");
    for code in CloseCode::ALL {
        comment(out, "  ", code.meaning());
        line!(out, "  {}: {},", code.name(), code.number());
    }
    line!(out, "}} as const;\n");
    line!(
        out,
        "/** First and last close code of each range, and what it asks for. */"
    );
    line!(
        out,
        "export const RECONNECT_RANGES: readonly (readonly [number, number, Reconnect])[] = ["
    );
    for (first, last, reconnect) in close_ranges() {
        let word = serde_json::json!(reconnect);
        line!(
            out,
            "  [{first}, {last}, '{}'],",
            word.as_str().unwrap_or_default()
        );
    }
    line!(out, "];");
}

fn wire() -> String {
    let mut out = HEADER.to_owned();
    line!(out, "/** Version of the protocol. */");
    line!(out, "export const VERSION = {VERSION};\n");
    line!(
        out,
        "/** WebSocket subprotocol that both sides must agree on. */"
    );
    line!(out, "export const SUBPROTOCOL = '{SUBPROTOCOL}';\n");
    line!(out, "/** First element of each kind of frame. */");
    line!(out, "export const KIND = {{");
    for frame in FRAMES {
        comment(&mut out, "  ", frame.doc);
        line!(out, "  {}: {},", frame.name, frame.kind);
    }
    line!(out, "}} as const;\n");
    line!(out, "/** Named bounds of the protocol. */");
    line!(out, "export const LIMITS = {{");
    for limit in LIMITS {
        comment(&mut out, "  ", limit.doc.trim());
        line!(out, "  {}: {},", limit.name, limit.value);
    }
    line!(out, "}} as const;");
    out
}
