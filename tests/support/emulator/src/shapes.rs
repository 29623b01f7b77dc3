//! The inputs of the operations as the service model (2017-05-18) bounds them.

use std::sync::OnceLock;

use regex_lite::Regex;

use crate::state;

/// What a value may be.
pub(crate) enum Shape {
    Text(Text),
    Integer { min: i64, max: i64 },
    Boolean,
    List(&'static Shape),
    Map { key: &'static Text, value: &'static Shape },
    Structure(&'static [Member]),
}

/// A string. Lengths are in characters.
pub(crate) struct Text {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) pattern: Option<&'static Pattern>,
    /// The members of an enumeration; empty for any.
    pub(crate) values: &'static [&'static str],
}

/// A member of a structure.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// A regular expression that the whole value must match.
pub(crate) struct Pattern {
    /// As the model writes it, and so the messages.
    pub(crate) model: &'static str,
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    const fn new(model: &'static str) -> Self {
        Self::translated(model, model)
    }

    const fn translated(model: &'static str, source: &'static str) -> Self {
        Self { model, source, compiled: OnceLock::new() }
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        self.compiled
            .get_or_init(|| Regex::new(&format!("^(?:{})$", self.source)).ok())
            .as_ref()
            .is_some_and(|regex| regex.is_match(value))
    }
}

/// The input of an operation; none for an operation the emulator does not know.
pub(crate) fn input(operation: &str) -> Option<&'static [Member]> {
    match operation {
        "StartSession" => Some(START_SESSION),
        "GetSession" | "GetSessionStatus" | "TerminateSession" => Some(SESSION),
        "ListSessions" => Some(LIST_SESSIONS),
        "GetWorkGroup" => Some(GET_WORK_GROUP),
        "TagResource" => Some(TAG_RESOURCE),
        _ => None,
    }
}

static WORK_GROUP_NAME: Pattern = Pattern::new("[a-zA-Z0-9._-]{1,128}");
static ROLE: Pattern = Pattern::new(r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$");
static LOG_GROUP: Pattern = Pattern::new("^[a-zA-Z0-9._/-]+$");
static LOG_STREAM_PREFIX: Pattern = Pattern::new("^[^:*]*$");
static LOG_LOCATION: Pattern = Pattern::new(r"^s3://[a-z0-9][a-z0-9\-]*[a-z0-9](/.*)?$");
static KMS_KEY: Pattern = Pattern::new(concat!(
    r"^(arn:aws[a-z\-]*:kms:([a-z0-9\-]+):\d{12}:key/?[a-zA-Z_0-9+=,.@\-_/]+|arn:aws[a-z\-]*:kms:([a-z0-9\-]+):\d{12}:alias/?[a-zA-Z_0-9+=,.@\-_/]+",
    r"|alias/[a-zA-Z0-9/_-]+|[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})$"
));
// The model counts in UTF-16: its surrogate ranges are the characters beyond the basic plane.
static PROPERTY_KEY: Pattern = Pattern::translated(
    r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*",
    r"[\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}\t]*",
);

const ANY: usize = usize::MAX;

const fn text(min: usize, max: usize) -> Shape {
    Shape::Text(bounded(min, max))
}

const fn matching(min: usize, max: usize, pattern: &'static Pattern) -> Shape {
    Shape::Text(Text { pattern: Some(pattern), ..bounded(min, max) })
}

const fn bounded(min: usize, max: usize) -> Text {
    Text { min, max, pattern: None, values: &[] }
}

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: true, shape }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: false, shape }
}

static BOOLEAN: Shape = Shape::Boolean;
static SHORT: Shape = text(1, 128);
static WORK_GROUP: Shape = matching(0, ANY, &WORK_GROUP_NAME);
static SESSION_ID: Shape = text(1, 256);
static DESCRIPTION: Shape = text(1, 1024);
static TOKEN: Shape = text(32, 128);
static NEXT_TOKEN: Shape = text(0, 2048);
static EXECUTION_ROLE: Shape = matching(20, 2048, &ROLE);
static ONE_DPU: Shape = Shape::Integer { min: 1, max: 1 };
static MAX_DPUS: Shape = Shape::Integer { min: 2, max: 5000 };
static IDLE_MINUTES: Shape = Shape::Integer { min: 1, max: 480 };
static PAGE: Shape = Shape::Integer { min: 1, max: 100 };
static STATE: Shape = Shape::Text(Text { values: &state::ALL, ..bounded(0, ANY) });

static PROPERTY_NAME: Text = Text { pattern: Some(&PROPERTY_KEY), ..bounded(1, 255) };
static PROPERTY_VALUE: Shape = text(0, 51200);
static PROPERTIES: Shape = Shape::Map { key: &PROPERTY_NAME, value: &PROPERTY_VALUE };

static CLASSIFICATIONS: Shape =
    Shape::List(&Shape::Structure(&[optional("Name", &SHORT), optional("Properties", &PROPERTIES)]));

static ENGINE_CONFIGURATION: Shape = Shape::Structure(&[
    optional("CoordinatorDpuSize", &ONE_DPU),
    optional("MaxConcurrentDpus", &MAX_DPUS),
    optional("DefaultExecutorDpuSize", &ONE_DPU),
    optional("AdditionalConfigs", &PROPERTIES),
    optional("SparkProperties", &PROPERTIES),
    optional("Classifications", &CLASSIFICATIONS),
]);

static ANY_TEXT: Shape = text(0, ANY);
static LOG_TYPES: Shape = Shape::Map { key: &bounded(0, ANY), value: &Shape::List(&ANY_TEXT) };
static KEY: Shape = matching(1, 2048, &KMS_KEY);

static MONITORING: Shape = Shape::Structure(&[
    optional(
        "CloudWatchLoggingConfiguration",
        &Shape::Structure(&[
            required("Enabled", &BOOLEAN),
            optional("LogGroup", &matching(1, 512, &LOG_GROUP)),
            optional("LogStreamNamePrefix", &matching(1, 512, &LOG_STREAM_PREFIX)),
            optional("LogTypes", &LOG_TYPES),
        ]),
    ),
    optional(
        "ManagedLoggingConfiguration",
        &Shape::Structure(&[required("Enabled", &BOOLEAN), optional("KmsKey", &KEY)]),
    ),
    optional(
        "S3LoggingConfiguration",
        &Shape::Structure(&[
            required("Enabled", &BOOLEAN),
            optional("KmsKey", &KEY),
            optional("LogLocation", &matching(0, 1024, &LOG_LOCATION)),
        ]),
    ),
]);

static TAGS: Shape =
    Shape::List(&Shape::Structure(&[optional("Key", &SHORT), optional("Value", &text(0, 256))]));

static START_SESSION: &[Member] = &[
    optional("Description", &DESCRIPTION),
    required("WorkGroup", &WORK_GROUP),
    required("EngineConfiguration", &ENGINE_CONFIGURATION),
    optional("ExecutionRole", &EXECUTION_ROLE),
    optional("MonitoringConfiguration", &MONITORING),
    optional("NotebookVersion", &SHORT),
    optional("SessionIdleTimeoutInMinutes", &IDLE_MINUTES),
    optional("ClientRequestToken", &TOKEN),
    optional("Tags", &TAGS),
    optional("CopyWorkGroupTags", &BOOLEAN),
];

static TAG_RESOURCE: &[Member] = &[required("ResourceARN", &text(1, 1011)), required("Tags", &TAGS)];

static SESSION: &[Member] = &[required("SessionId", &SESSION_ID)];

static LIST_SESSIONS: &[Member] = &[
    required("WorkGroup", &WORK_GROUP),
    optional("StateFilter", &STATE),
    optional("MaxResults", &PAGE),
    optional("NextToken", &NEXT_TOKEN),
];

static GET_WORK_GROUP: &[Member] = &[required("WorkGroup", &WORK_GROUP)];
