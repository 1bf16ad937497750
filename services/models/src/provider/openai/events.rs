//! Server-sent events, as far as OpenAI's stream uses them: the data of each event.
//!
//! Bytes come in any cut, lines end in LF, CRLF or CR, comments and other fields are skipped. The
//! caller bounds how much is pushed in all, so nothing here needs a limit of its own.

/// Collects bytes and gives events.
#[derive(Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// Where the first unread byte of `buffer` is.
    start: usize,
    /// The data lines of the event that is being read.
    data: Option<String>,
    /// A CR ended the last line, so a LF that follows belongs to it.
    after_cr: bool,
    /// Whether a byte order mark may still come.
    begun: bool,
}

// === impl Events ===

impl Events {
    /// Adds bytes as they came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The data of the next whole event.
    pub(super) fn next_event(&mut self) -> Option<String> {
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Some(data);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            // A comment has an empty field name; event, id and retry mean nothing here.
            if field != "data" {
                continue;
            }
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }

    fn next_line(&mut self) -> Option<String> {
        if self.after_cr && self.buffer.get(self.start) == Some(&b'\n') {
            self.start += 1;
            self.after_cr = false;
        }
        let rest = &self.buffer[self.start..];
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.after_cr = rest[length] == b'\r';
        self.start += length + 1;
        if !std::mem::replace(&mut self.begun, true) {
            return Some(line.trim_start_matches('\u{feff}').to_owned());
        }
        Some(line)
    }
}
