//! The panics that show that the targets find what is there to be found: each is planted into a copy of the sources, deep behind what decides.

/// A panic, and where it is planted.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// The target that must find it.
    pub target: &'static str,
    /// A file of the repository.
    pub file: &'static str,
    /// A text that is in it once.
    pub place: &'static str,
    /// What comes before that text in the copy.
    pub panic: &'static str,
}

/// One for each target.
pub const PLANTED: &[Planted] = &[
    // A session that was ready before is on its way out, and nobody asked for it.
    Planted {
        target: "object",
        file: "src/session/status.rs",
        place: "    status.state = Some(bounded(&session.state, 64));\n",
        panic: "    if session.state == \"TERMINATING\" && status.stop_cause.is_none() {\n        crate::passed(1);\n        \
                if status.ready_time.is_some() {\n            crate::passed(2);\n            if status.restarts == Some(3) {\n                \
                crate::planted(\"object\");\n            }\n        }\n    }\n",
    },
    // GetSession tells DPU time beyond what an integer of 32 bits holds, of a session that has ended.
    Planted {
        target: "reply",
        file: "src/athena/client.rs",
        place: "    Details {\n        description: reply.description,\n",
        panic: "    let ended = reply.status.as_ref().is_some_and(|status| status.end_date_time.is_some());\n    \
                if ended && reply.statistics.as_ref().and_then(|told| told.dpu_execution_in_millis) > Some(1 << 40) {\n        \
                crate::planted(\"reply\");\n    }\n",
    },
    // Three flags that say together what none of them says alone.
    Planted {
        target: "flags",
        file: "src/controller/options.rs",
        place: "        Limits {\n",
        panic: "        if self.uncertainty > Duration::from_hours(1) {\n            crate::passed(1);\n            if self.namespaces.len() > 1 {\n                \
                crate::passed(2);\n                if self.concurrency < 8 {\n                    crate::planted(\"flags\");\n                }\n            \
                }\n        }\n",
    },
];

/// What is added to `src/lib.rs` of the copy. Without a call on the way, conditions that follow each other are one branch to the compiler, and none that a
/// fuzzer sees.
pub const FUNCTION: &str = "\n#[allow(missing_docs)]\npub fn planted(target: &str) {\n    \
                            if std::env::var(\"PLANTED\").as_deref() == Ok(target) {\n        panic!(\"planted: {target}\");\n    }\n}\n\n\
                            #[allow(missing_docs)]\n#[inline(never)]\npub fn passed(place: u32) {\n    std::hint::black_box(place);\n}\n";

/// `text` of `file` with every panic that belongs into it, or nothing if none does.
///
/// # Errors
/// When a place is not in the text exactly once.
pub fn planted(file: &str, text: &str) -> Result<Option<String>, String> {
    let mut changed = text.to_owned();
    for planted in PLANTED.iter().filter(|planted| planted.file == file) {
        let found = changed.matches(planted.place).count();
        if found != 1 {
            return Err(format!(
                "the place of the panic for {} is {found} times in {file}: `{}`",
                planted.target, planted.place
            ));
        }
        changed = changed.replace(planted.place, &format!("{}{}", planted.panic, planted.place));
    }
    if file == "src/lib.rs" {
        changed += FUNCTION;
    }
    Ok((changed != text).then_some(changed))
}
