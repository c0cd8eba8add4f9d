//! Tasks: the filter that reports how one comes on, what a collector reports of it, and how it has ended.

use super::property_collector::{Missing, missing_in, response, specification, text_of};
use crate::error::Error;
use crate::runtime::redact::Redactor;
use crate::soap::envelope::{Reference, element};
use crate::soap::fault::{Fault, localized};
use crate::soap::reply::Reply;
use crate::soap::xml::node::Node;

pub(crate) const TASK: &str = "Task";

/// The property that holds everything about a task.
pub(crate) const INFO: &str = "info";

/// The properties whose changes a wait hears of.
const STATE: &str = "info.state";
const PROGRESS: &str = "info.progress";

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    Running,
    Success,
    Error,
}

impl State {
    fn of(text: &str) -> Option<State> {
        match text {
            "queued" => Some(State::Queued),
            "running" => Some(State::Running),
            "success" => Some(State::Success),
            "error" => Some(State::Error),
            _ => None,
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        matches!(self, State::Success | State::Error)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Success => "success",
            State::Error => "error",
        }
    }
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) state: Option<State>,
    /// From 0 to 100, if the server says it.
    pub(crate) percent: Option<i32>,
}

impl Progress {
    /// Takes over a property. One that is not set any more has an empty text.
    fn set(&mut self, property: &str, text: &str) {
        match property {
            STATE => self.state = State::of(text).or(self.state),
            PROGRESS if planted!("any-percentage") => self.percent = text.parse().ok(),
            PROGRESS => self.percent = text.parse().ok().map(|percent: i32| percent.clamp(0, 100)),
            _ => {}
        }
    }
}

/// The arguments of CreateFilter for a task.
pub(crate) fn filter_arguments(task: &str) -> String {
    let spec = specification(Reference { kind: TASK, id: task }, [STATE, PROGRESS]);
    // The argument is one PropertyFilterSpec, which has the members of what a read asks for.
    let inside = spec.strip_prefix("<specSet>").and_then(|spec| spec.strip_suffix("</specSet>"));
    format!("<spec>{}</spec><partialUpdates>false</partialUpdates>", inside.unwrap_or_default())
}

/// The arguments of WaitForUpdatesEx. The server answers after this many seconds if nothing changes.
pub(crate) fn wait_arguments(version: &str, seconds: u64) -> String {
    let version = element("version", version);
    format!("{}<options><maxWaitSeconds>{seconds}</maxWaitSeconds></options>", &*version)
}

/// What a collector reports.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    /// What the next wait names. `None`: nothing has changed.
    pub(crate) version: Option<String>,
    /// The server does not show the task any more.
    pub(crate) gone: bool,
    /// A property that it does not show.
    pub(crate) missing: Option<Missing>,
}

/// Reads the answer to WaitForUpdatesEx, and takes over into `progress` what it says.
pub(crate) fn read_updates(reply: &Reply, progress: &mut Progress) -> Updates {
    let mut updates = Updates::default();
    let Some(set) = response(reply).and_then(|response| response.child("returnval")) else { return updates };
    updates.version = Some(text_of(set.child("version"))).filter(|version| !version.is_empty());
    for filter in children(set, "filterSet") {
        // Objects that the server does not find or does not show; the filter has only one.
        updates.gone |= filter.child("missingSet").is_some();
        for object in children(filter, "objectSet") {
            updates.gone |= text_of(object.child("kind")) == "leave";
            updates.missing = updates.missing.or_else(|| missing_in(reply, object));
            for change in children(object, "changeSet") {
                progress.set(&text_of(change.child("name")), &text_of(change.child("val")));
            }
        }
    }
    updates
}

/// The children with a name.
fn children<'a>(parent: Node<'a>, name: &str) -> impl Iterator<Item = Node<'a>> {
    std::iter::successors(parent.child(name), |node| node.next())
}

/// How a task has come on, in the answer to a read of `INFO`.
pub(crate) fn read_progress(reply: &Reply) -> Progress {
    let mut progress = Progress::default();
    if let Some(info) = info(reply) {
        progress.set(STATE, &text_of(info.child("state")));
        progress.set(PROGRESS, &text_of(info.child("progress")));
    }
    progress
}

fn info(reply: &Reply) -> Option<Node<'_>> {
    response(reply)?.child("returnval/objects")?.property(INFO)
}

/// The error of a task that has failed. It ran.
pub(crate) fn error_of(reply: &Reply, task: &str, hidden: Redactor) -> Error {
    let error = info(reply).and_then(|info| info.child("error"));
    let fault: Option<Fault> = error.and_then(|error| localized(&reply.xml, error.place().start));
    fault.unwrap_or_default().into_error_of_task(&format!("task '{task}'"), hidden)
}

#[cfg(test)]
mod tests {
    use super::super::property_collector::tests::reply;
    use super::*;
    use crate::status::{Executed, Status};

    fn updates(content: &str, progress: &mut Progress) -> Updates {
        read_updates(&reply("WaitForUpdatesEx", content), progress)
    }

    fn change(name: &str, value: &str) -> String {
        format!("<changeSet><name>{name}</name><op>assign</op>{value}</changeSet>")
    }

    fn set(inside: &str) -> String {
        format!(
            "<returnval><version>4</version><filterSet><filter type=\"PropertyFilter\">f</filter><objectSet><kind>modify</kind><obj type=\"Task\">t</obj>{inside}</objectSet></filterSet></returnval>"
        )
    }

    #[test]
    fn a_filter_is_one_specification_of_the_task() {
        let text = format!("<x>{}</x>", filter_arguments("task-1<2"));
        let document = roxmltree::Document::parse(&text).unwrap();
        let names: Vec<_> =
            document.root_element().children().map(|n| n.tag_name().name().to_string()).collect();
        assert_eq!(names, ["spec", "partialUpdates"]);
        let spec = document.root_element().first_element_child().unwrap();
        let names: Vec<_> = spec.children().map(|n| n.tag_name().name().to_string()).collect();
        assert_eq!(names, ["propSet", "objectSet"]);
        assert_eq!(
            wait_arguments("", 30),
            "<version></version><options><maxWaitSeconds>30</maxWaitSeconds></options>"
        );
    }

    #[test]
    fn updates_say_how_a_task_comes_on() {
        let mut progress = Progress::default();
        let none = updates("", &mut progress);
        assert!(none.version.is_none() && progress == Progress::default(), "nothing has changed");
        let both = change("info.state", "<val xsi:type=\"TaskInfoState\">running</val>")
            + &change("info.progress", "<val>140</val>");
        assert_eq!(updates(&set(&both), &mut progress).version.as_deref(), Some("4"));
        assert_eq!(progress, Progress { state: Some(State::Running), percent: Some(100) });
        updates(&set(&change("info.progress", "")), &mut progress);
        assert_eq!(
            progress,
            Progress { state: Some(State::Running), percent: None },
            "it is not set any more"
        );
        updates(&set(&change("info.state", "<val>paused</val>")), &mut progress);
        assert_eq!(progress.state, Some(State::Running), "a state that nobody knows is none");
        updates(&set(&change("info.state", "<val>success</val>")), &mut progress);
        assert!(progress.state.is_some_and(State::has_ended));
        let left = set("").replace("modify", "leave");
        assert!(updates(&left, &mut progress).gone);
        let withheld = "<missingSet><path>info.state</path><fault><fault xsi:type=\"NoPermission\"/></fault></missingSet>";
        assert_eq!(updates(&set(withheld), &mut progress).missing.unwrap().path, "info.state");
        let unknown = "<returnval><version>5</version><filterSet><missingSet><obj type=\"Task\">task-1</obj><fault/></missingSet></filterSet></returnval>";
        assert!(updates(unknown, &mut progress).gone, "the next read says why");
    }

    #[test]
    fn a_failed_task_is_the_error_that_it_says() {
        let info = |inside: &str| {
            reply(
                "RetrievePropertiesEx",
                &format!(
                    "<returnval><objects><obj type=\"Task\">t</obj><propSet><name>info</name><val xsi:type=\"TaskInfo\">{inside}</val></propSet></objects></returnval>"
                ),
            )
        };
        assert_eq!(
            read_progress(&info("<state>running</state><progress>7</progress>")),
            Progress { state: Some(State::Running), percent: Some(7) }
        );
        for (fault, status) in [
            ("InvalidState", Status::VSESSION_E_FAULT),
            ("NoPermission", Status::VSESSION_E_NO_PERMISSION),
            ("InvalidLogin", Status::VSESSION_E_FAULT),
        ] {
            let failed = info(&format!(
                "<state>error</state><error><fault xsi:type=\"{fault}\"/><localizedMessage>It is so.</localizedMessage></error>"
            ));
            assert_eq!(read_progress(&failed).state, Some(State::Error));
            let error = error_of(&failed, "task-1", Redactor::NOTHING);
            assert_eq!((error.status(), error.executed()), (status, Executed::VSESSION_EXECUTED_YES));
            assert_eq!(error.detail().fault_name.as_deref(), Some(fault));
            assert!(error.detail().message.starts_with("task 'task-1' failed with the fault"), "{error}");
            assert!(error.detail().message.contains("It is so."), "{error}");
            assert!(!error.detail().message.contains("check user name"), "{error}");
        }
        let unnamed = error_of(&info("<state>error</state>"), "task-1", Redactor::NOTHING);
        assert_eq!(unnamed.status(), Status::VSESSION_E_FAULT, "{unnamed}");
    }
}
