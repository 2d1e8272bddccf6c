//! The loop of `waypost top`: looks at the server, shows a frame, obeys keys.
//!
//! Invariant: a slow server never delays a key.

use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::text::Text;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::frame::{View, lines};
use super::look::{Look, look};
use super::terminal::{Input, Raw, inputs};
use crate::config::Config;

/// Maximum characters of a filter.
const FILTER_MAX_CHARS: usize = 60;

/// Watches the server until the user quits or a signal comes.
pub(super) async fn watch(config: &Config, first: Look, filter: &str, every: Duration) -> Result<()> {
    let mut stops = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let mut raw = Raw::enter().context("the terminal cannot be controlled; waypost top --once prints one frame")?;
    let mut inputs = inputs();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut shown = first;
    let mut view = View { filter: filter.to_owned(), ..View::default() };
    let mut looking = None;
    loop {
        draw(&mut raw, &shown, &view)?;
        let [terminate, interrupt, hangup] = &mut stops;
        tokio::select! {
            _ = ticks.tick(), if looking.is_none() && !view.is_paused => looking = Some(Box::pin(look(config))),
            found = async { match &mut looking { Some(looking) => looking.await, None => std::future::pending().await } } => {
                looking = None;
                match found {
                    Ok(Some(look)) => (shown, view.trouble) = (look, None),
                    Ok(None) => view.trouble = Some("the server does not run; waiting for it".into()),
                    Err(error) => view.trouble = Some(format!("the server does not answer: {}", mail::one_line(&format!("{error:#}")))),
                }
            }
            input = inputs.recv() => match input {
                Some(input) if obey(&mut view, input) => {}
                _ => return Ok(()),
            },
            _ = received(terminate) => return Ok(()),
            _ = received(interrupt) => return Ok(()),
            _ = received(hangup) => return Ok(()),
        }
    }
}

async fn received(signal: &mut std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

fn draw(raw: &mut Raw, look: &Look, view: &View) -> Result<()> {
    raw.0.draw(|frame| {
        let area = frame.area();
        frame.render_widget(Text::from(lines(look, view, area.width, area.height)), area);
    })?;
    Ok(())
}

/// Obeys a key; false to quit.
fn obey(view: &mut View, input: Input) -> bool {
    match input {
        Input::Interrupt => return false,
        Input::Typed(c) if view.is_typing => {
            if view.filter.chars().count() < FILTER_MAX_CHARS {
                view.filter.push(c);
            }
        }
        Input::Erase if view.is_typing => drop(view.filter.pop()),
        Input::Enter => view.is_typing = false,
        Input::Escape => {
            view.filter.clear();
            (view.is_typing, view.has_help) = (false, false);
        }
        Input::Typed('q') => return false,
        Input::Typed('p') => view.is_paused = !view.is_paused,
        Input::Typed('/') => view.is_typing = true,
        Input::Typed('?') => view.has_help = !view.has_help,
        Input::Typed(_) | Input::Erase | Input::Resized => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(view: &mut View, text: &str) -> bool {
        text.chars().all(|c| obey(view, Input::Typed(c)))
    }

    #[test]
    fn keys_are_obeyed() {
        let mut view = View::default();
        assert!(typed(&mut view, "?p/quit") && view.has_help && view.is_paused && view.is_typing);
        assert_eq!(view.filter, "quit");
        assert!(obey(&mut view, Input::Erase) && obey(&mut view, Input::Enter) && !view.is_typing);
        assert_eq!(view.filter, "qui");
        assert!(obey(&mut view, Input::Escape) && view.filter.is_empty() && !view.has_help);
        assert!(typed(&mut view, "p") && !view.is_paused);
        assert!(!typed(&mut view, "q") && !obey(&mut view, Input::Interrupt));
        view.is_typing = true;
        assert!(typed(&mut view, &"x".repeat(500)));
        assert_eq!(view.filter.chars().count(), FILTER_MAX_CHARS);
    }
}
