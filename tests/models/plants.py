"""Faults that `run.py prove` puts into a copy of the sources, each behind its name (PLANTED), so that one program has them all.

Name: file below src, what stands there once, what stands there instead, the model that is to find it, a part of what it says."""

PLANTS = {
    "two-logins": (
        "session/gate.rs",
        """            Phase::Login(flight) => {
                let flight = flight.clone();
                gate.waiting += 1;
                return Ok(Next::Join(flight));
            }
            Phase::Idle => {}""",
        """            Phase::Login(flight) if !PLANTED => {
                let flight = flight.clone();
                gate.waiting += 1;
                return Ok(Next::Join(flight));
            }
            Phase::Idle | Phase::Login(_) => {}""",
        "one_login_serves_all",
        "panicked",
    ),
    "abandoned-too-early": (
        "session/gate.rs",
        "            if gate.waiting == 0 {",
        "            if gate.waiting == 0 || PLANTED {",
        "a_waiter_that_leaves_does_not_take_the_login_with_it",
        "a login was given up for which somebody waited",
    ),
    "never-abandoned": (
        "session/gate.rs",
        "                flight.abandoned.fire();",
        "                if !PLANTED {\n flight.abandoned.fire();\n }",
        "a_login_that_nobody_waits_for_is_given_up_or_kept",
        "nobody waits, and the login is not given up",
    ),
    "login-not-committed": (
        "runtime/wait.rs",
        "        if self.committed.get() {\n            // Nothing but the deadline ends it",
        "        if self.committed.get() && !PLANTED {\n            // Nothing but the deadline ends it",
        "a_login_that_nobody_waits_for_is_given_up_or_kept",
        "a session was made and not kept",
    ),
    "answer-from-before": (
        "session/gate.rs",
        "Ok(Outcome::StillAlive)) if flight.number < first_valid => {}",
        "Ok(Outcome::StillAlive)) if flight.number < first_valid && !PLANTED => {}",
        "a_session_that_the_server_ended_is_replaced_once",
        "VSESSION_E_NOT_AUTHENTICATED",
    ),
    "newer-epoch-unseen": (
        "session/gate.rs",
        "Wish::Replace { epoch } => gate.epoch > epoch,",
        "Wish::Replace { epoch } => gate.epoch > epoch && !PLANTED,",
        "a_session_that_the_server_ended_is_replaced_once",
        "one login replaces it",
    ),
    "refresh-over-a-login": (
        "session/check.rs",
        "        if Arc::ptr_eq(&current, old) ||",
        "        if PLANTED || Arc::ptr_eq(&current, old) ||",
        "a_session_that_the_server_ended_is_replaced_once",
        "panicked",
    ),
    "epoch-before-snapshot": (
        "session/login.rs",
        "        self.shown.replace(Snapshot {\n            epoch: old_epoch + 1,",
        "        if PLANTED {\n self.show_epoch(old_epoch + 1);\n }\n        self.shown.replace(Snapshot {\n            epoch: old_epoch + 1,",
        "one_login_serves_all",
        "an epoch was shown before its snapshot",
    ),
    "epoch-not-raised": (
        "session/mod.rs",
        "        self.show_epoch(snapshot.epoch);",
        "        if !PLANTED {\n self.show_epoch(snapshot.epoch);\n }",
        "one_login_serves_all",
        "an epoch that is older than a snapshot seen before",
    ),
    "orphan-kept": (
        "session/login.rs",
        "            if let Ok(Made { service, login, .. }) = result {",
        "            if let Ok(Made { service, login, .. }) = result\n && !PLANTED\n {",
        "a_close_ends_every_wait_and_leaves_nothing_behind",
        "a session was left behind by the close",
    ),
    "close-does-not-wait": (
        "session/end.rs",
        "flight.filter(|flight| !alive && !flight.is_flown_here())",
        "flight.filter(|flight| !PLANTED && !alive && !flight.is_flown_here())",
        "a_close_ends_every_wait_and_leaves_nothing_behind",
        "a session was left behind by the close",
    ),
    "flight-does-not-land": (
        "session/login.rs",
        "        flight.land(outcome);",
        "        if !(PLANTED && self.closed.has_fired()) {\n flight.land(outcome);\n }",
        "a_close_ends_every_wait_and_leaves_nothing_behind",
        "deadlock",
    ),
    "logout-does-not-land": (
        "session/end.rs",
        "            flight.land(Ok(Outcome::Gone));",
        "            if !PLANTED {\n flight.land(Ok(Outcome::Gone));\n }",
        "logouts_and_logins_take_turns",
        "deadlock",
    ),
    "refusal-forgotten": (
        "session/gate.rs",
        "        self.credentials.contains(&credentials)\n",
        "        self.credentials.contains(&credentials) && !PLANTED\n",
        "refused_credentials_are_sent_once",
        "refused credentials were sent again",
    ),
    "a-closed-session-changes": (
        "session/gate.rs",
        "        if gate.state == state || gate.state == State::VSESSION_STATE_CLOSED {",
        "        if gate.state == state || (gate.state == State::VSESSION_STATE_CLOSED && !PLANTED) {",
        "a_closed_session_touches_nothing_of_anothers",
        "told after the close",
    ),
    "anybodys-cell": (
        "session/cell.rs",
        "            let mine = word >> 32 == u64::from(generation);",
        "            let mine = PLANTED || word >> 32 == u64::from(generation);",
        "a_cell_is_changed_by_its_owner_alone",
        "panicked",
    ),
    "no-pause-after-a-failure": (
        "session/login.rs",
        "                    automatic => *automatic = Automatic::NotBefore(next, error.clone()),",
        "                    _ if PLANTED => {}\n                    automatic => *automatic = Automatic::NotBefore(next, error.clone()),",
        "a_login_that_fails_tells_all_and_the_next_one_waits",
        "attempts where",
    ),
    "keep-alive-holds-the-session": (
        "session/keepalive.rs",
        "            let weak = Arc::downgrade(&me);",
        "            let weak = Arc::downgrade(&me);\n if PLANTED {\n std::mem::forget(me);\n }",
        "the_timer_does_nothing_for_a_closed_session",
        "the session is held by its keep-alive",
    ),
    "entry-not-cleared": (
        "session/keepalive.rs",
        "            Some(entry) if now >= entry => schedule.entry = None,",
        "            Some(entry) if now >= entry && PLANTED => {}\n            Some(entry) if now >= entry => schedule.entry = None,",
        "keep_alive_replaces_a_session_without_a_call",
        "deadlock",
    ),
    "failed-probe-out-of-order": (
        "session/keepalive.rs",
        "        let gate = self.gate.lock();\n        let (kind, reason) = (Kind::VSESSION_EVENT_KEEPALIVE_FAILED,",
        "        let mut gate = self.gate.lock();\n        if PLANTED {\n let event = self.event(&gate, Kind::VSESSION_EVENT_KEEPALIVE_FAILED, Reason::VSESSION_REASON_NONE, Some(error.clone()));\n drop(gate);\n crate::sync::thread::yield_now();\n gate = self.gate.lock();\n return self.tell(&gate, event);\n }\n        let (kind, reason) = (Kind::VSESSION_EVENT_KEEPALIVE_FAILED,",
        "keep_alive_replaces_a_session_without_a_call",
        "events out of order",
    ),
    "flag-after-the-list": (
        "runtime/wait.rs",
        "        self.fired.store(true, Ordering::SeqCst);",
        "        if PLANTED {\n self.waiting.lock().threads.iter().for_each(|waker| waker.raise());\n self.fired.store(true, Ordering::SeqCst);\n return;\n }\n        self.fired.store(true, Ordering::SeqCst);",
        "a_wait_ends_by_its_signal_its_token_or_its_deadline",
        "deadlock",
    ),
    "drained-after-the-flags": (
        "runtime/wait.rs",
        "            let end = match (self.bounds.deadline, until) {",
        "            if PLANTED {\n self.waker.event.drain();\n }\n            let end = match (self.bounds.deadline, until) {",
        "a_wait_ends_by_its_signal_its_token_or_its_deadline",
        "deadlock",
    ),
    "flags-not-read-before-a-wait": (
        "runtime/wait.rs",
        "            if happened() {\n                return Ok(Ready::NotYet);\n            }\n            self.check_signals()?;",
        "            if happened() {\n                return Ok(Ready::NotYet);\n            }\n            if !(PLANTED && until.is_none() && descriptors.is_empty()) {\n self.check_signals()?;\n }",
        "an_inner_wait_does_not_swallow_the_outer_ones_wake_up",
        "deadlock",
    ),
    "left-in-the-list": (
        "runtime/wait.rs",
        "            for signal in self.bounds.signals() {\n                signal.dismiss(&self.waker);",
        "            for signal in self.bounds.signals().filter(|_| !PLANTED) {\n                signal.dismiss(&self.waker);",
        "a_wait_ends_by_its_signal_its_token_or_its_deadline",
        "a wait that ended leaves nothing behind",
    ),
    "timer-ends-without-a-look": (
        "runtime/timer.rs",
        "                None if idle_since.is_some_and(|since| now >= since + IDLE) => break,",
        "                None if idle_since.is_some_and(|since| now >= since + IDLE) => {\n if PLANTED {\n drop(state);\n state = self.state.lock();\n }\n break;\n }",
        "the_timer_wakes_each_sleeper_once_and_not_early",
        "deadlock",
    ),
    "woken-early": (
        "runtime/timer.rs",
        "                Some(at) if at <= now => {",
        "                Some(at) if at <= now + Duration::from_millis(if PLANTED { 10 } else { 0 }) => {",
        "the_timer_wakes_each_sleeper_once_and_not_early",
        "woken early",
    ),
    "ended-worker-still-counts": (
        "runtime/workers.rs",
        "        }\n        state.threads -= 1;\n",
        "        }\n        if !PLANTED {\n state.threads -= 1;\n }\n",
        "workers_do_each_job_once_and_end",
        "max_steps",
    ),
    "raised-after-the-lock": (
        "runtime/event.rs",
        "        self.readable.raise();\n    }",
        "        if PLANTED {\n drop(pending);\n }\n        self.readable.raise();\n    }",
        "a_queue_tells_each_session_in_order_and_loses_nothing",
        "readable",
    ),
    "put-into-a-freed-queue": (
        "runtime/event.rs",
        "        let mut pending = self.pending.lock();\n        // Under the lock",
        "        if PLANTED {\n if self.closed.has_fired() {\n return;\n }\n let mut pending = self.pending.lock();\n pending.events.push_back(event);\n self.readable.raise();\n return;\n }\n        let mut pending = self.pending.lock();\n        // Under the lock",
        "a_queue_that_closes_ends_its_readers_and_holds_nothing",
        "events that nobody will read",
    ),
    "two-remove": (
        "ffi/handles.rs",
        "        let previous = slot.entry.compare_and_swap(&mine, None);",
        "        let previous = if PLANTED { slot.entry.store(None); Some(mine.clone()) } else { slot.entry.compare_and_swap(&mine, None) };",
        "one_of_many_removes_and_nobody_finds_it_afterwards",
        "one of many removes it",
    ),
    "any-generation-will-do": (
        "ffi/handles.rs",
        "entry.as_ref().filter(|e| e.id == id)",
        "entry.as_ref().filter(|e| e.id == id || PLANTED)",
        "a_slot_that_is_used_again_does_not_revive_its_old_handle",
        "a dead handle found something",
    ),
    "generation-not-counted": (
        "ffi/handles.rs",
        "    let next = generation.wrapping_add(1).max(1);\n    if let Some(slot)",
        "    let next = if PLANTED { generation } else { generation.wrapping_add(1).max(1) };\n    if let Some(slot)",
        "a_slot_that_is_used_again_does_not_revive_its_old_handle",
        "panicked",
    ),
    "anybodys-state": (
        "ffi/handles.rs",
        "        Some((owner, state)) if owner == Cell::word_of(id.generation(), Kind::Session as u8) => state,",
        "        Some((owner, state)) if PLANTED || owner == Cell::word_of(id.generation(), Kind::Session as u8) => state,",
        "what_a_dead_handle_reads_is_not_its_slots_next_owners",
        "panicked",
    ),
    "anybodys-epoch": (
        "session/cell.rs",
        "if epoch >> 32 == u64::from(generation) {",
        "if epoch >> 32 == u64::from(generation) || PLANTED {",
        "what_a_dead_handle_reads_is_not_its_slots_next_owners",
        "panicked",
    ),
}
