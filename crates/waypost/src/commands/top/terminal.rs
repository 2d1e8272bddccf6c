//! The terminal: its keys, and its state before and after.
//!
//! Invariant: dropping [`Raw`] leaves the alternate screen and raw mode, also while a panic unwinds.

use std::io;
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use tokio::sync::mpsc;

/// What the user or the terminal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// A character.
    Typed(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Erase,
    /// Ctrl-C.
    Interrupt,
    /// The terminal has another size.
    Resized,
}

/// The terminal in raw mode, on its alternate screen.
pub(super) struct Raw(pub DefaultTerminal);

impl Raw {
    /// Takes over the terminal.
    ///
    /// # Errors
    /// The terminal cannot be controlled.
    pub fn enter() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Returns what is typed from now on. The thread that reads it ends with the process.
pub(super) fn inputs() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(64);
    thread::spawn(move || {
        while let Ok(event) = read() {
            let Some(input) = input(&event) else { continue };
            if sender.blocking_send(input).is_err() {
                break;
            }
        }
    });
    receiver
}

fn input(event: &Event) -> Option<Input> {
    let key = match event {
        Event::Resize(..) => return Some(Input::Resized),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Input::Interrupt),
        KeyCode::Char(c) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => Some(Input::Typed(c)),
        KeyCode::Enter => Some(Input::Enter),
        KeyCode::Esc => Some(Input::Escape),
        KeyCode::Backspace => Some(Input::Erase),
        _ => None,
    }
}
