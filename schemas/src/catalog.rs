//! The tables of methods and events, with the JSON Schema of every body.

use pitturu_protocol::bounds::Bound;
use pitturu_protocol::codec::{self, InvalidBody};
use pitturu_protocol::codes::Fault;
use pitturu_protocol::events::EventInfo;
use pitturu_protocol::limits::{INTEGER_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, TIME_MS_MAX};
use pitturu_protocol::methods::MethodInfo;
use pitturu_protocol::ranges::{RANGES, Range};
use pitturu_protocol::types::{self, system};
use pitturu_protocol::{for_each_event, for_each_method};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Decodes a body by its type and encodes it again.
pub type Recode = fn(&[u8]) -> Result<Vec<u8>, InvalidBody>;

/// A type that stands as the body of a call, a reply or an event.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Name of the type, and of its schema.
    pub name: &'static str,
    /// Through the Rust type and back.
    pub recode: Recode,
}

/// A line of the table of methods.
#[derive(Clone, Debug)]
pub struct MethodEntry {
    /// The line itself.
    pub info: MethodInfo,
    /// The part of the product that it belongs to.
    pub area: &'static str,
    /// What the caller sends.
    pub request: Body,
    /// What a successful call returns.
    pub reply: Body,
}

/// A line of the table of events.
#[derive(Clone, Debug)]
pub struct EventEntry {
    /// The line itself.
    pub info: EventInfo,
    /// The part of the product that it belongs to.
    pub area: &'static str,
    /// What it carries.
    pub body: Body,
}

/// Everything that documents and other languages are derived from.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Methods in the order of their numbers.
    pub methods: Vec<MethodEntry>,
    /// Events in the order of their numbers.
    pub events: Vec<EventEntry>,
    /// Bodies of frames that are neither calls nor events.
    pub frame_bodies: Vec<Body>,
    /// JSON Schema of each type by name. References read `#/$defs/Name`.
    pub types: Map<String, Value>,
    /// JSON Schema of a line of the table of methods. Columns that a line may leave out are not required.
    pub method_line: Value,
    /// JSON Schema of a line of the table of events.
    pub event_line: Value,
}

impl MethodEntry {
    /// The columns of the line after number and name, in the order of the table.
    pub fn columns(&self) -> Map<String, Value> {
        columns(&self.info)
    }
}

impl EventEntry {
    /// The columns of the line after number and name, in the order of the table.
    pub fn columns(&self) -> Map<String, Value> {
        columns(&self.info)
    }
}

fn columns(line: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(line) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .filter(|(name, _)| is_column(name))
            .collect(),
        other => panic!("a line of a table is a map, not {other:?}"),
    }
}

/// The columns of a line after number and name, with the schema of their values.
pub fn column_schemas(line: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = line.get("properties").and_then(Value::as_object);
    fields
        .into_iter()
        .flatten()
        .filter(|(name, _)| is_column(name))
}

/// Number and name stand for the line itself.
fn is_column(name: &str) -> bool {
    !matches!(name, "number" | "name")
}

macro_rules! method_entries {
    ($($number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*;)*) => {
        fn methods(generator: &mut SchemaGenerator) -> Vec<MethodEntry> {
            vec![$(MethodEntry {
                info: *MethodInfo::of($number).expect("the line is in the table"),
                area: stringify!($module),
                request: body::<types::$module::$request>(generator, stringify!($request)),
                reply: body::<types::$reply_module::$reply>(generator, stringify!($reply)),
            }),*]
        }
    };
}

for_each_method!(method_entries);

macro_rules! event_entries {
    ($($number:literal $module:ident::$event:ident, $delivery:ident $(, $column:ident = $value:ident)*;)*) => {
        fn events(generator: &mut SchemaGenerator) -> Vec<EventEntry> {
            let mut infos = pitturu_protocol::events::EVENTS.iter();
            vec![$(EventEntry {
                info: *infos.next().expect("the line is in the table"),
                area: stringify!($module),
                body: body::<types::$module::$event>(generator, stringify!($event)),
            }),*]
        }
    };
}

for_each_event!(event_entries);

fn body<T>(generator: &mut SchemaGenerator, name: &'static str) -> Body
where
    T: JsonSchema + Serialize + DeserializeOwned,
{
    let _ = generator.subschema_for::<T>();
    Body {
        name,
        recode: |bytes| codec::decode::<T>(bytes).map(|value| codec::encode(&value)),
    }
}

/// The schema of a table's line as it is written, without references.
fn line_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    let generator = settings.into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

impl Catalog {
    /// Reads the tables.
    pub fn collect() -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let frame_bodies = vec![
            body::<system::Hello>(&mut generator, "Hello"),
            body::<system::Welcome>(&mut generator, "Welcome"),
            body::<Fault>(&mut generator, "Fault"),
            body::<system::Goaway>(&mut generator, "Goaway"),
        ];
        let methods = methods(&mut generator);
        let events = events(&mut generator);
        let mut types = generator.take_definitions(true);
        types.values_mut().for_each(tidy);
        for range in RANGES {
            state(range, types.get_mut(range.owner));
        }
        for (owner, schema) in &mut types {
            state_lengths(owner, schema);
        }
        Self {
            methods,
            events,
            frame_bodies,
            types,
            method_line: line_schema::<MethodInfo>(),
            event_line: line_schema::<EventInfo>(),
        }
    }

    /// The schema of a type.
    pub fn schema(&self, name: &str) -> &Value {
        self.types
            .get(name)
            .unwrap_or_else(|| panic!("no type is called {name}"))
    }

    /// The body type of a frame.
    pub fn frame_body(&self, name: &str) -> Body {
        *self
            .frame_bodies
            .iter()
            .find(|body| body.name == name)
            .unwrap_or_else(|| panic!("no frame carries {name}"))
    }

    /// What the type's documentation says, on one line.
    pub fn doc(&self, name: &str) -> &str {
        description(self.schema(name))
    }
}

/// The schema's description, or nothing.
pub fn description(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The name in a reference.
pub fn referred(schema: &Value) -> Option<&str> {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
}

/// Whether the schema lists the field as required.
pub fn is_required(schema: &Value, name: &str) -> bool {
    schema
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|required| required == name))
}

/// Brings a derived schema to what travels: optional fields are absent rather than null, integers stay below
/// 2^53, and descriptions are plain text.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            drop_null(map);
            bound_integers(map);
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = plain(text);
            }
            map.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// States a field's range in its type's schema.
fn state(range: &Range, owner: Option<&mut Value>) {
    let field = owner
        .and_then(|schema| schema.get_mut("properties"))
        .and_then(|fields| fields.get_mut(range.field))
        .and_then(Value::as_object_mut)
        .filter(|schema| schema.get("type").is_some_and(|kind| kind == "integer"))
        .unwrap_or_else(|| panic!("{range:?} is of no integer"));
    field.insert("minimum".to_owned(), range.min.into());
    field.insert("maximum".to_owned(), range.max.into());
    // Readers know of times that they end with the year 9999.
    if range.max != TIME_MS_MAX
        && let Some(Value::String(text)) = field.get_mut("description")
    {
        *text = format!("{text} From {} to {}.", range.min, range.max);
    }
}

/// States how long the texts and lists of a type get, where that is known: `x-bytes-max`, `maxItems`, and of pages
/// `x-page-bytes-max` as well.
fn state_lengths(owner: &str, schema: &mut Value) {
    if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
        choices
            .iter_mut()
            .for_each(|choice| state_lengths(owner, choice));
    }
    let Some(Value::Object(fields)) = schema.get_mut("properties") else {
        return;
    };
    for (field, part) in fields {
        let (Some(bound), Some(part)) = (Bound::of(owner, field), part.as_object_mut()) else {
            continue;
        };
        let kind = part.get("type").and_then(Value::as_str);
        match (bound, kind) {
            (Bound::Bytes(bytes), Some("string")) => {
                part.insert("x-bytes-max".to_owned(), bytes.into());
            }
            (Bound::Items(items), Some("array")) => {
                part.insert("maxItems".to_owned(), items.into());
            }
            (Bound::Page, Some("array")) => {
                part.insert("maxItems".to_owned(), PAGE_ITEMS_MAX.into());
                part.insert("x-page-bytes-max".to_owned(), PAGE_BYTES_MAX.into());
            }
            _ => {}
        }
    }
}

fn drop_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            map.extend(only);
        }
    }
}

fn bound_integers(map: &mut Map<String, Value>) {
    let max = match map.get("format").and_then(Value::as_str) {
        Some("uint64") => INTEGER_MAX,
        Some("uint32") => u64::from(u32::MAX),
        Some("uint16") => u64::from(u16::MAX),
        Some("int64") => {
            map.insert("minimum".to_owned(), (-INTEGER_MAX.cast_signed()).into());
            INTEGER_MAX
        }
        _ => return,
    };
    map.remove("format");
    map.insert("maximum".to_owned(), max.into());
}

/// Rust's documentation links as plain code words, on one line.
fn plain(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("[`crate::", "`")
        .replace("[`", "`")
        .replace("`]", "`")
}
